use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use diff_core::CancelToken;
use publisher::{KeyStore, PruneOptions, PublishOptions, Quiet, Repository};
use release_format::{Label, PackName};
use satchel_tests::rig::server::Server;
use updater_client::{
    Clock, HttpTransport, SystemClock, UpdateOptions, Updater, UpdaterBuilder, enroll,
};

use super::Figures;
use super::store::bytes_below;
use crate::Outcome;
use crate::table::grouped;

/// Publishes the releases one after another, as `publish` does unless told otherwise, while a device
/// follows; bytes are what its server sent, metadata and the heads of answers included.
pub(super) fn measure(releases: &[PathBuf], work: &Path) -> Outcome<Figures> {
    let repository = work.join("repository");
    let keys = KeyStore::folder(work.join("keys"));
    let now = SystemClock.now();
    let root = Repository::init(&repository, &keys, now)?.root;
    let server = Server::start(&repository)?;
    let pack = PackName::parse("acme/sequence")?;
    let library = |name: &str| -> Outcome<PathBuf> {
        let library = work.join(name);
        enroll(&library, &root, vec![server.url()])?;
        Ok(library)
    };
    let mut kinds: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    let fetched = |library: &Path| -> Outcome<u64> {
        server.forget();
        let updater = over(library, &server)?.build()?;
        updater.update(&pack, &UpdateOptions::default(), &CancelToken::new())?;
        updater.confirm(&pack)?;
        let traffic = server.traffic();
        Ok(traffic.bodies + traffic.heads)
    };

    let (follows, stays) = (library("follows")?, library("stays")?);
    let mut figures = Figures::default();
    for release in releases {
        let name = release.file_name().unwrap_or_default().to_string_lossy();
        let options = PublishOptions::new(pack.clone(), Label::parse(&name)?, SystemClock.now());
        let began = Instant::now();
        let opened = Repository::open(&repository)?;
        let published = opened.publish(release, &keys, &options, &Quiet, &CancelToken::new())?;
        eprintln!(
            "{name}: {} bytes published in {:.1} s",
            grouped(published.tree_bytes),
            began.elapsed().as_secs_f64()
        );
        figures.each.push(fetched(&follows)?);
        for request in server.requests().iter().filter(|_| figures.each.len() > 1) {
            let (requests, bytes) = kinds.entry(kind(&request.location)).or_default();
            *requests += 1;
            *bytes += request.sent;
        }
        if figures.each.len() == 1 {
            fetched(&stays)?;
        }
    }
    for (kind, (requests, bytes)) in kinds {
        let bytes = grouped(bytes);
        eprintln!("all updates: {kind}: {bytes} bytes in {requests} answers, without their heads");
    }
    figures.jump = Some(fetched(&stays)?);
    figures.anew = Some(fetched(&library("begins")?)?);
    // What no catalogue names any more; a publisher lets it lie until devices have seen that.
    let mut options = PruneOptions::at(SystemClock.now());
    options.now_too = true;
    Repository::open(&repository)?.prune(&keys, &options)?;
    figures.repository = bytes_below(&repository)?;
    Ok(figures)
}

/// Returns what a location is, to the one who asks where the bytes of an update went.
fn kind(location: &str) -> &'static str {
    match location {
        "metadata/timestamp.json" => "timestamp",
        _ if location.ends_with(".root.json") => "the next root",
        _ if location.ends_with(".snapshot.json") => "snapshot",
        _ if location.starts_with("metadata/patches/") => "patches",
        _ if location.starts_with("metadata/") => "roles of targets",
        _ if location.ends_with(".catalogue") => "catalogue",
        _ if location.starts_with("targets/") => "rollout",
        _ => "content",
    }
}

fn over(library: &Path, server: &Server) -> Outcome<UpdaterBuilder> {
    let transport = Arc::new(HttpTransport::new(&server.url())?);
    Ok(Updater::builder(library).repository(transport))
}
