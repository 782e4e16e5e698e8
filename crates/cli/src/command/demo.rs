//! The whole road in a temporary folder, told step by step; each claim is proved or the demo fails.

mod course;
mod story;
mod tree;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use diff_core::CancelToken;
use publisher::{AuditOptions, KeyStore, PublishOptions, Published, Quiet, Repository};
use release_format::{ContentReference, Label, PackName};
use tempfile::TempDir;
use updater_client::{
    Clock, ErrorKind, FolderTransport, Outcome, SystemClock, UpdateOptions, Updated, Updater,
};

use crate::arguments::DemoArguments;
use crate::failure::{Exit, Failure};
use crate::output::{Output, bytes, counted, percent};
use crate::server::Server;

use course::Edition;
use story::Story;

/// Tells the whole road.
pub(crate) fn demo(arguments: &DemoArguments, output: Output) -> Result<Exit, Failure> {
    let place = tempfile::Builder::new()
        .prefix("satchel-demo-")
        .tempdir()
        .map_err(|error| failed("make a folder in", &std::env::temp_dir(), error))?;
    let mut demo = Demo::begin(place.path(), output)?;
    let outcome = demo.play();
    let Demo { server, story, .. } = demo;
    drop(server);
    let kept = finish(place, arguments.keep)?;
    outcome?;
    story.end(kept.as_deref().map(Path::to_string_lossy).as_deref())?;
    Ok(Exit::Done)
}

struct Demo {
    root: PathBuf,
    pack: PackName,
    repository: Repository,
    keys: KeyStore,
    root_metadata: Vec<u8>,
    server: Server,
    story: Story,
}

impl Demo {
    fn begin(root: &Path, output: Output) -> Result<Demo, Failure> {
        let folder = root.join("repository");
        let keys = KeyStore::folder(root.join("repository.keys"));
        let made = Repository::init(&folder, &keys, SystemClock.now())?;
        let listen = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        let server = Server::start(&folder, listen, |_, _| {})
            .map_err(|error| failed("serve", &folder, error))?;
        Ok(Demo {
            root: root.to_path_buf(),
            pack: PackName::parse("acme/biology-101").map_err(internal)?,
            repository: Repository::open(&folder)?,
            keys,
            root_metadata: made.root,
            server,
            story: Story::new(output),
        })
    }

    fn play(&mut self) -> Result<(), Failure> {
        self.publish_first()?;
        self.install()?;
        self.publish_second()?;
        self.update_by_delta()?;
        self.cut_the_power()?;
        self.fail_a_trial()?;
        self.refuse_tampered_mirrors()?;
        self.audit()
    }

    fn publish_first(&mut self) -> Result<(), Failure> {
        self.story.step("A content team publishes release 1.0")?;
        let published = self.publish(Edition::First)?;
        self.story.tell(format!(
            "Biology 101: {}, {}: pages, a SCORM activity, pictures, a PDF, a database of questions",
            counted(published.files, "file"),
            bytes(published.tree_bytes)
        ))?;
        self.story.figure("tree_bytes", published.tree_bytes);
        let full = full_bytes(&published);
        self.story.figure("first_install_bytes", full);
        let share = percent(full, published.tree_bytes);
        self.story.tell(format!(
            "a first install downloads {}, {share} of the tree",
            bytes(full)
        ))?;
        self.story.prove(
            "the release is signed and listed in the repository",
            self.repository.packs()? == [self.pack.clone()],
        )
    }

    fn install(&mut self) -> Result<(), Failure> {
        self.story
            .step("Two laptops enrol, and install it over HTTP")?;
        for device in [LAPTOP, OTHER_LAPTOP] {
            let updater = Updater::builder(self.library(device))
                .enroll(&self.root_metadata, vec![self.server.url()])?;
            let updated = self.update(&updater)?;
            if device == LAPTOP {
                let traffic = updated.traffic;
                let requests = counted(traffic.requests, "request");
                self.story
                    .tell(format!("{} in {requests}", bytes(traffic.bytes)))?;
                self.story.figure("fetched_bytes", traffic.bytes);
            }
            let opened = updater.open_pack(&self.pack)?;
            self.story.prove(
                format!("{device}: 1.0 is active on trial, byte for byte what was published"),
                opened.on_trial && self.has(device, Edition::First)?,
            )?;
            course::opens_well(&opened.tree).map_err(unproved)?;
            updater.confirm(&self.pack)?;
        }
        Ok(())
    }

    fn publish_second(&mut self) -> Result<(), Failure> {
        self.story.step(
            "Release 1.1 edits a page, an activity, questions and a picture, and renames a folder",
        )?;
        let published = self.publish(Edition::Second)?;
        for delta in &published.deltas {
            let from = delta.from.as_ref().map_or("nothing", Label::as_str);
            let share = percent(delta.bytes, published.tree_bytes);
            let told = format!(
                "a device with {from} downloads {} ({share})",
                bytes(delta.bytes)
            );
            self.story.tell(told)?;
        }
        // What a stick that nobody brings up to date would hold.
        self.copy_repository("old-mirror")?;
        let delta = delta_bytes(&published, Edition::First);
        self.story.prove(
            "the delta was applied and compared before it was published, and is below a full download",
            delta.is_some_and(|delta| delta < full_bytes(&published)),
        )
    }

    fn update_by_delta(&mut self) -> Result<(), Failure> {
        self.story.step("The first laptop updates by delta")?;
        let full = self.full_download(Edition::Second)?;
        let updater = Updater::open(self.library(LAPTOP))?;
        let (sent, requests) = (self.server.meter().sent(), self.server.meter().requests());
        let updated = self.update(&updater)?;
        let sent = self.server.meter().sent() - sent;
        let requests = self.server.meter().requests() - requests;
        self.story.figure("fetched_bytes", sent);
        self.story.figure("full_download_bytes", full);
        self.story.tell(format!(
            "{} in {}, metadata included; a full download is {}",
            bytes(sent),
            counted(requests, "request"),
            bytes(full)
        ))?;
        let is_delta = updated.route.as_ref().is_some_and(|route| !route.is_full());
        self.story.prove(
            "1.1 came by delta, for fewer bytes than a full download, and equals what was published",
            is_delta && sent < full && self.has(LAPTOP, Edition::Second)?,
        )?;
        let opened = updater.open_pack(&self.pack)?;
        course::opens_well(&opened.tree).map_err(unproved)?;
        updater.confirm(&self.pack)?;
        let report = updater.verify(&self.pack, &CancelToken::new())?;
        self.story.prove(
            "the course opens well, 1.1 is confirmed, and 1.0 is kept as the fallback",
            report.is_sound() && self.fallback(LAPTOP)?.as_deref() == Some("1.0"),
        )
    }

    fn cut_the_power(&mut self) -> Result<(), Failure> {
        self.story
            .step("The power fails in the middle of the second laptop's update")?;
        let delta = self.delta_length(Edition::First, Edition::Second)?;
        let half = delta / 2;
        self.server.meter().stall_after(half);
        let mut child = self.spawn_update(OTHER_LAPTOP)?;
        let arrived = self.server.meter().wait_until_dry(PATIENCE)
            && self.wait_for_partial(OTHER_LAPTOP, half);
        let is_running = child.try_wait().map_err(internal)?.is_none();
        child.kill().and_then(|()| child.wait()).map_err(internal)?;
        self.server.meter().flow();
        let told =
            format!("its process was killed when {half} of the delta's {delta} bytes were there");
        self.story.tell(told)?;
        self.story.prove(
            "the update was running, and 1.0 is still active and byte for byte intact",
            arrived && is_running && self.has(OTHER_LAPTOP, Edition::First)?,
        )?;
        let sent = self.server.meter().sent();
        let updater = Updater::open(self.library(OTHER_LAPTOP))?;
        let updated = self.update(&updater)?;
        let sent = self.server.meter().sent() - sent;
        let rest = updated
            .route
            .as_ref()
            .map_or(u64::MAX, updater_client::Route::fetch_bytes);
        self.story.figure("delta_bytes", delta);
        self.story.figure("resumed_bytes", rest);
        self.story.tell(format!(
            "the next update fetches the other {rest} bytes ({sent} with metadata)"
        ))?;
        self.story.prove(
            "it went on from the last byte that had arrived, and 1.1 equals what was published",
            rest == delta - half && self.has(OTHER_LAPTOP, Edition::Second)?,
        )?;
        Ok(updater.confirm(&self.pack)?)
    }

    fn fail_a_trial(&mut self) -> Result<(), Failure> {
        self.story
            .step("Release 1.2 leads to a page that nobody added")?;
        self.publish(Edition::Broken)?;
        let updater = Updater::open(self.library(LAPTOP))?;
        self.update(&updater)?;
        let opened = updater.open_pack(&self.pack)?;
        let Err(reason) = course::opens_well(&opened.tree) else {
            return self
                .story
                .prove("the app sees that 1.2 does not open well", false);
        };
        self.story
            .tell(format!("the app opens it on trial, and sees: {reason}"))?;
        updater.fail(&self.pack, &reason)?;
        self.story.prove(
            "1.1 is active again at once, byte for byte, without the network",
            self.has(LAPTOP, Edition::Second)?,
        )?;
        let again = self.update(&updater)?;
        self.story.prove(
            "1.2 is refused from now on: the device does not loop",
            matches!(again.outcome, Outcome::Withheld(_)) && self.has(LAPTOP, Edition::Second)?,
        )
    }

    fn refuse_tampered_mirrors(&mut self) -> Result<(), Failure> {
        self.story
            .step("Release 1.3 adds the page, and hostile mirrors offer it first")?;
        self.publish(Edition::Mended)?;
        let bad_metadata = self.copy_repository("bad-metadata")?;
        let timestamp = bad_metadata.join("metadata").join("timestamp.json");
        tree::flip_a_bit(&timestamp, "\"expires\":\"202")
            .map_err(|error| failed("change", &timestamp, error))?;
        let bad_content = self.copy_repository("bad-content")?;
        for location in self.content_locations(Edition::Mended)? {
            let file = bad_content.join(location);
            tree::flip_a_bit(&file, "").map_err(|error| failed("change", &file, error))?;
        }
        for (mirror, what) in [
            (bad_metadata, "one bit of its signed metadata flipped"),
            (bad_content, "one bit of each file of content flipped"),
            (
                self.root.join("old-mirror"),
                "metadata older than what the device has seen",
            ),
        ] {
            let updater = Updater::builder(self.library(LAPTOP))
                .repository(Arc::new(FolderTransport::new(mirror)))
                .build()?;
            let refused =
                updater.update(&self.pack, &UpdateOptions::default(), &CancelToken::new());
            let is_refused = matches!(&refused, Err(error) if error.kind() == ErrorKind::Refused);
            if let Err(error) = refused {
                self.story.tell(format!("{error}"))?;
            }
            self.story.prove(
                format!("a mirror with {what} is refused, and 1.1 is intact"),
                is_refused && self.has(LAPTOP, Edition::Second)?,
            )?;
        }
        let updater = Updater::open(self.library(LAPTOP))?;
        self.update(&updater)?;
        let opened = updater.open_pack(&self.pack)?;
        course::opens_well(&opened.tree).map_err(unproved)?;
        updater.confirm(&self.pack)?;
        self.story.prove(
            "from the repository itself 1.3 is installed and confirmed",
            self.has(LAPTOP, Edition::Mended)?,
        )
    }

    fn audit(&mut self) -> Result<(), Failure> {
        self.story
            .step("An auditor checks the repository as a device would")?;
        let mut options = AuditOptions::at(SystemClock.now());
        options.apply_deltas = true;
        let report = publisher::audit(&self.root.join("repository"), &options)?;
        self.story.figure("files", report.files);
        self.story.tell(format!(
            "{}, {}, {}",
            counted(report.releases, "release"),
            counted(report.files, "file"),
            bytes(report.bytes)
        ))?;
        self.story.prove(
            "every signature, digest and chunk holds, and every delta makes its release",
            report.is_sound(),
        )
    }

    /// Makes an edition of the course and publishes it.
    fn publish(&self, edition: Edition) -> Result<Published, Failure> {
        let folder = self.course(edition);
        course::write(&folder, edition).map_err(|error| failed("write", &folder, error))?;
        let label = Label::parse(edition.label()).map_err(internal)?;
        let options = PublishOptions::new(self.pack.clone(), label, SystemClock.now());
        Ok(self
            .repository
            .publish(&folder, &self.keys, &options, &Quiet, &CancelToken::new())?)
    }

    fn update(&self, updater: &Updater) -> Result<Updated, Failure> {
        Ok(updater.update(&self.pack, &UpdateOptions::default(), &CancelToken::new())?)
    }

    /// Runs `satchel update` in a process of its own, which can be killed as a power cut would.
    fn spawn_update(&self, device: &str) -> Result<Child, Failure> {
        let program = std::env::current_exe().map_err(internal)?;
        Command::new(&program)
            .arg("update")
            .arg(self.library(device))
            .arg(self.pack.as_str())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| failed("run", &program, error))
    }

    /// Waits until a download of `length` bytes lies in the device's library.
    fn wait_for_partial(&self, device: &str, length: u64) -> bool {
        let downloads = self.library(device).join("downloads");
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let entries = fs::read_dir(&downloads).into_iter().flatten().flatten();
            let mut lengths = entries.filter_map(|entry| Some(entry.metadata().ok()?.len()));
            if lengths.any(|found| found == length) {
                return true;
            }
            thread::sleep(Duration::from_millis(5));
        }
        false
    }

    /// Whether the active tree of a device equals an edition of the course.
    fn has(&self, device: &str, edition: Edition) -> Result<bool, Failure> {
        let status = Updater::open(self.library(device))?.status(&self.pack)?;
        let Some(tree) = status.tree else {
            return Ok(false);
        };
        let course = self.course(edition);
        let difference =
            tree::difference(&tree, &course).map_err(|error| failed("compare", &tree, error))?;
        if let Some(difference) = &difference {
            self.story.tell(format!(
                "{} and {}: {difference}",
                tree.display(),
                course.display()
            ))?;
        }
        Ok(difference.is_none())
    }

    fn fallback(&self, device: &str) -> Result<Option<String>, Failure> {
        let status = Updater::open(self.library(device))?.status(&self.pack)?;
        Ok(status
            .record
            .fallback()
            .map(|release| release.label.to_string()))
    }

    fn full_download(&self, edition: Edition) -> Result<u64, Failure> {
        let catalogue = self.repository.catalogue(&self.pack)?;
        let label = Label::parse(edition.label()).map_err(internal)?;
        let deltas = catalogue
            .labelled(&label)
            .map(|release| release.deltas.as_slice());
        let full = deltas
            .unwrap_or_default()
            .iter()
            .find(|delta| delta.from.is_none());
        full.map(|delta| delta.content.length)
            .ok_or_else(|| unproved("there is no full download"))
    }

    fn delta_length(&self, from: Edition, to: Edition) -> Result<u64, Failure> {
        let catalogue = self.repository.catalogue(&self.pack)?;
        let (from, to) = (Label::parse(from.label()), Label::parse(to.label()));
        let from = catalogue
            .labelled(&from.map_err(internal)?)
            .map(|release| release.manifest.digest);
        let to = catalogue.labelled(&to.map_err(internal)?);
        let delta = to.and_then(|to| {
            to.deltas
                .iter()
                .find(|delta| delta.from.is_some() && delta.from == from)
        });
        delta
            .map(|delta| delta.content.length)
            .ok_or_else(|| unproved("there is no delta"))
    }

    /// Returns where everything lies that a device may fetch of a release.
    fn content_locations(&self, of: Edition) -> Result<BTreeSet<String>, Failure> {
        let catalogue = self.repository.catalogue(&self.pack)?;
        let label = Label::parse(of.label()).map_err(internal)?;
        let Some(release) = catalogue.labelled(&label) else {
            return Ok(BTreeSet::new());
        };
        let deltas = release.deltas.iter().map(|delta| &delta.content);
        let others = [&release.manifest, &release.chunk_map].into_iter();
        let all = deltas.chain(others).chain(&release.archives);
        Ok(all.map(ContentReference::location).collect())
    }

    fn copy_repository(&self, name: &str) -> Result<PathBuf, Failure> {
        let (from, to) = (self.root.join("repository"), self.root.join(name));
        tree::copy(&from, &to).map_err(|error| failed("copy", &from, error))?;
        Ok(to)
    }

    fn course(&self, edition: Edition) -> PathBuf {
        self.root.join("course").join(edition.label())
    }

    fn library(&self, device: &str) -> PathBuf {
        self.root.join(device.replace(' ', "-"))
    }
}

/// Returns what a device with nothing downloads.
fn full_bytes(published: &Published) -> u64 {
    let full = published.deltas.iter().find(|delta| delta.from.is_none());
    full.map_or(0, |delta| delta.bytes)
}

/// Returns what a device with an older edition downloads.
fn delta_bytes(published: &Published, from: Edition) -> Option<u64> {
    let label = |delta: &&publisher::DeltaReport| {
        delta
            .from
            .as_ref()
            .is_some_and(|label| label.as_str() == from.label())
    };
    published.deltas.iter().find(label).map(|delta| delta.bytes)
}

/// Removes the folder, or keeps it and returns where it is.
fn finish(place: TempDir, keep: bool) -> Result<Option<PathBuf>, Failure> {
    if keep {
        return Ok(Some(place.keep()));
    }
    let path = place.path().to_path_buf();
    tree::unlock(&path)
        .and_then(|()| place.close())
        .map_err(|error| failed("remove", &path, error))?;
    Ok(None)
}

fn failed(operation: &str, path: &Path, error: io::Error) -> Failure {
    Failure::io(operation, path, &error)
}

fn unproved(what: impl Into<String>) -> Failure {
    Failure::new(Exit::Other, "unproved", what)
}

fn internal(error: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Other, "demo", error.to_string())
}

const LAPTOP: &str = "the first laptop";
const OTHER_LAPTOP: &str = "the second laptop";
/// Far more than a loopback connection needs.
const PATIENCE: Duration = Duration::from_secs(20);
