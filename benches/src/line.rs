//! What a line that drops again and again costs a device, beside one that holds.

use std::path::Path;
use std::sync::Arc;

use diff_core::CancelToken;
use publisher::{KeyStore, PublishOptions, Quiet, Repository};
use release_format::{Label, PackName};
use satchel_tests::rig::server::{Misbehaviour, Server, Traffic};
use updater_client::{Clock, HttpTransport, SystemClock, UpdateOptions, Updater, enroll};

use crate::Outcome;
use crate::table::grouped;

/// The argument that asks for this.
pub(crate) const LINE: &str = "line";

/// Measures a first install of `PAIR/old` and the update to `PAIR/new`, over a line that holds and over
/// one on which every answer breaks off behind 64 KiB.
pub(crate) fn measure(pair: &Path) -> Outcome<()> {
    let work = tempfile::tempdir()?;
    let repository = work.path().join("repository");
    let keys = KeyStore::folder(work.path().join("keys"));
    let root = Repository::init(&repository, &keys, SystemClock.now())?.root;
    let pack = PackName::parse("acme/line")?;
    let server = Server::start(&repository)?;
    let lines = [None, Some(Misbehaviour::Truncate { at: DROPS_AT })];
    let mut libraries = Vec::new();
    for name in ["holds", "drops"] {
        let library = work.path().join(name);
        enroll(&library, &root, vec![server.url()])?;
        libraries.push(library);
    }
    println!(
        "| {} | line | requests | bytes of bodies | ratio | bytes in all |",
        pair.display()
    );
    println!("|---|---|---:|---:|---:|---:|");
    for (side, what) in [("old", "first install"), ("new", "update")] {
        let options = PublishOptions::new(pack.clone(), Label::parse(side)?, SystemClock.now());
        let cancel = CancelToken::new();
        Repository::open(&repository)?.publish(
            &pair.join(side),
            &keys,
            &options,
            &Quiet,
            &cancel,
        )?;
        let mut whole = None;
        for (library, drops) in libraries.iter().zip(&lines) {
            server.behave();
            server.forget();
            if let Some(drops) = drops {
                server.misbehave("*", drops.clone());
            }
            let transport = Arc::new(HttpTransport::new(&server.url())?);
            let updater = Updater::builder(library).repository(transport).build()?;
            updater.update(&pack, &UpdateOptions::default(), &cancel)?;
            updater.confirm(&pack)?;
            let traffic: Traffic = server.traffic();
            let first = *whole.get_or_insert(traffic.bodies);
            println!(
                "| {what} | {} | {} | {} | {:.3} | {} |",
                if drops.is_some() { "drops" } else { "holds" },
                traffic.requests,
                grouped(traffic.bodies),
                traffic.bodies as f64 / first as f64,
                grouped(traffic.bodies + traffic.heads),
            );
        }
    }
    Ok(())
}

const DROPS_AT: u64 = 64 << 10;
