use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use diff_core::CancelToken;
use release_format::{PackName, Receipted, SignedReceipt, UtcTime};
use satchel_tests::rig::sim::{Image, Script, SimDisk, Trace, Trouble};
use satchel_tests::rig::world::{Device, World, remove};
use updater_client::courier::Courier;
use updater_client::library::disk::Disk;
use updater_client::library::state::StateRecord;
use updater_client::transport::FolderTransport;
use updater_client::{
    HealOptions, PinFor, PruneOptions, UpdateError, UpdateOptions, Updater, UpdaterBuilder,
};

/// What is done to a library while the power goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Enroll,
    Install,
    Update,
    UpdateByCopies,
    UpdateInFull,
    SwitchToStaged,
    StageOnly,
    UpdateAndDrop,
    Confirm,
    Fail,
    Revert,
    Open,
    OpenTooOften,
    Hold,
    Pin,
    Prune,
    Heal,
    HealRecord,
    Report,
}

impl Verb {
    pub(crate) const ALL: [Verb; 19] = [
        Verb::Enroll,
        Verb::Install,
        Verb::Update,
        Verb::UpdateByCopies,
        Verb::UpdateInFull,
        Verb::SwitchToStaged,
        Verb::StageOnly,
        Verb::UpdateAndDrop,
        Verb::Confirm,
        Verb::Fail,
        Verb::Revert,
        Verb::Open,
        Verb::OpenTooOften,
        Verb::Hold,
        Verb::Pin,
        Verb::Prune,
        Verb::Heal,
        Verb::HealRecord,
        Verb::Report,
    ];
}

/// Three releases, of which a mirror has two, and a device that has the first.
pub(crate) struct Play {
    world: World,
    device: Device,
    mirror_of_two: PathBuf,
}

impl Play {
    pub(crate) fn new() -> Play {
        let (world, device, mirror_of_two) = World::with_two_updates();
        Play {
            world,
            device,
            mirror_of_two,
        }
    }
}

/// A verb, and the device as it is before.
pub(crate) struct Scene<'a> {
    world: &'a World,
    verb: Verb,
    before: Image,
    device: Device,
    /// The files that are missing before, and the release that misses them.
    missing: (&'static str, &'static [&'static str]),
}

impl<'a> Scene<'a> {
    pub(crate) fn new(play: &'a Play, verb: Verb) -> Scene<'a> {
        let world = &play.world;
        let base = world.folder().join(format!("before-{verb:?}"));
        fs::create_dir_all(&base).unwrap();
        let library = base.join(LIBRARY);
        let device = match verb {
            Verb::Enroll => world.device().at(library),
            Verb::Install => world.device_at(library),
            _ => play.device.copied_to(library),
        };
        let updated = || {
            device.update().unwrap();
        };
        // 1.1 is active, 1.0 the fallback, and 1.2 is offered.
        let updated_once = || {
            let two = Arc::new(FolderTransport::new(&play.mirror_of_two));
            let updater = device.builder().repository(two).build().unwrap();
            let (options, cancel) = (UpdateOptions::default(), CancelToken::new());
            updater.update(device.pack(), &options, &cancel).unwrap();
            device.confirm();
        };
        let mut missing: (&str, &[&str]) = ("", &[]);
        match verb {
            Verb::Enroll
            | Verb::Install
            | Verb::Update
            | Verb::UpdateByCopies
            | Verb::StageOnly
            | Verb::Hold
            | Verb::Pin => {}
            // The delta from 1.0 is of no use to a device whose 1.0 is damaged.
            Verb::UpdateInFull => missing = ("1.0", &["chapters/04/lesson.html"]),
            // 1.0 was open until now.
            Verb::Prune => {
                let open = device.updater().open_pack(device.pack()).unwrap();
                updated_once();
                updated();
                device.confirm();
                drop(open);
            }
            // One file is in the fallback too, the other has to be fetched.
            Verb::Heal => {
                updated_once();
                missing = (
                    "1.1",
                    &["chapters/01/lesson.html", "chapters/02/lesson.html"],
                );
            }
            Verb::HealRecord => {
                updated_once();
                let layout = device.layout();
                for record in [
                    layout.state(device.pack()),
                    layout.previous_state(device.pack()),
                ] {
                    fs::write(record, "{}").unwrap();
                }
            }
            Verb::SwitchToStaged => {
                stage(&device, device.builder()).unwrap();
            }
            Verb::UpdateAndDrop => {
                // 1.1 lies there, and 1.2 is offered.
                let two = Arc::new(FolderTransport::new(&play.mirror_of_two));
                stage(&device, device.builder().repository(two)).unwrap();
            }
            Verb::Confirm | Verb::Fail | Verb::Open => updated(),
            // The end of two trials waits to be told.
            Verb::Revert | Verb::Report => {
                updated();
                device.confirm();
            }
            Verb::OpenTooOften => {
                updated();
                for _ in 0..StateRecord::OPENINGS {
                    device.updater().open_pack(device.pack()).unwrap();
                }
            }
        }
        if !missing.1.is_empty() {
            let status = device.updater().status(device.pack()).unwrap();
            let tree = status.tree.unwrap();
            missing
                .1
                .iter()
                .for_each(|lesson| remove(tree.join(lesson)));
        }
        let before = Image::read(&base);
        remove(&base);
        Scene {
            world,
            verb,
            before,
            device,
            missing,
        }
    }

    /// Returns which release of the device misses files before, and which files.
    pub(crate) fn missing(&self) -> (&'static str, &'static [&'static str]) {
        self.missing
    }

    pub(crate) fn verb(&self) -> Verb {
        self.verb
    }

    /// Returns how the disk is that this scene plays on.
    pub(crate) fn script(&self) -> Script {
        Script {
            no_links: self.verb == Verb::UpdateByCopies,
            ..Script::default()
        }
    }

    /// Returns the folder of this name, which holds nothing but a library.
    pub(crate) fn base(&self, name: &str) -> PathBuf {
        self.world.folder().join(format!("{:?}-{name}", self.verb))
    }

    /// Builds the library as it is before, in a folder of this name.
    pub(crate) fn place(&self, name: &str) -> (PathBuf, Device) {
        self.place_image(name, &self.before)
    }

    /// Builds an image in a folder of this name.
    pub(crate) fn place_image(&self, name: &str, image: &Image) -> (PathBuf, Device) {
        let base = self.base(name);
        if base.exists() {
            remove(&base);
        }
        fs::create_dir_all(&base).unwrap();
        image.build(&base);
        let device = self.device.at(base.join(LIBRARY));
        (base, device)
    }

    pub(crate) fn run(&self, device: &Device, disk: Arc<dyn Disk>) -> Result<(), UpdateError> {
        let pack = device.pack();
        let on = |disk| device.builder().disk(disk).build();
        match self.verb {
            Verb::Enroll => self.enroll(device, disk),
            Verb::Install
            | Verb::Update
            | Verb::UpdateByCopies
            | Verb::UpdateInFull
            | Verb::SwitchToStaged
            | Verb::UpdateAndDrop => device.update_on(disk).map(drop),
            Verb::StageOnly => stage(device, device.builder().disk(disk)),
            Verb::Confirm => on(disk)?.confirm(pack),
            Verb::Fail => on(disk)?.fail(pack, "the video does not play").map(drop),
            Verb::Revert => on(disk)?.revert(pack, "the teacher asks for it").map(drop),
            Verb::Open | Verb::OpenTooOften => on(disk)?.open_pack(pack).map(drop),
            Verb::Hold => {
                let until = UtcTime::parse(EXAM_ENDS).unwrap();
                on(disk)?.hold(pack, "exam", until)
            }
            Verb::Pin => on(disk)?.pin(pack, None, PinFor::Device),
            Verb::Prune => on(disk)?.prune(PruneOptions::default()).map(drop),
            Verb::Heal | Verb::HealRecord => heal(&on(disk)?, pack),
            Verb::Report => on(disk)?.report(&Office, &CancelToken::new()).map(drop),
        }
    }

    /// Runs until the process is killed at this call, whatever comes of it; another may go on from what is
    /// returned.
    pub(crate) fn run_killed(&self, device: &Device, at: usize) -> Arc<Mutex<Trace>> {
        let script = Script {
            at: Some(at),
            trouble: Trouble::Killed,
            for_good: true,
            ..self.script()
        };
        let disk = SimDisk::new(script);
        let trace = disk.trace();
        let _ = self.run(device, Arc::new(disk));
        trace
    }

    /// Does what a device does next: it is enrolled if it is not, healed if it does not know how it
    /// stands, and updated.
    pub(crate) fn then_update(
        &self,
        device: &Device,
        disk: Arc<dyn Disk>,
    ) -> Result<(), UpdateError> {
        if let Err(UpdateError::NotALibrary { .. }) = Updater::open(device.library()) {
            self.enroll(device, Arc::clone(&disk))?;
        }
        if self.verb == Verb::HealRecord {
            let updater = device.builder().disk(Arc::clone(&disk)).build()?;
            heal(&updater, device.pack())?;
        }
        device.update_on(disk).map(drop)
    }

    fn enroll(&self, device: &Device, disk: Arc<dyn Disk>) -> Result<(), UpdateError> {
        let address = self.world.repository().to_str().unwrap().to_owned();
        Updater::builder(device.library())
            .disk(disk)
            .enroll(self.world.root(), vec![address])
            .map(drop)
    }
}

fn stage(device: &Device, builder: UpdaterBuilder) -> Result<(), UpdateError> {
    let options = UpdateOptions {
        stage_only: true,
        ..UpdateOptions::default()
    };
    builder
        .build()?
        .update(device.pack(), &options, &CancelToken::new())
        .map(drop)
}

fn heal(updater: &Updater, pack: &PackName) -> Result<(), UpdateError> {
    let (options, cancel) = (HealOptions::default(), CancelToken::new());
    updater.heal(pack, &options, &cancel).map(drop)
}

/// Takes whatever it is brought.
struct Office;

impl Courier for Office {
    fn carry(&self, receipts: &[SignedReceipt]) -> Result<Receipted, UpdateError> {
        let mut answer = Receipted::new();
        answer.accepted = receipts.iter().map(SignedReceipt::name).collect();
        Ok(answer)
    }

    fn address(&self) -> String {
        "the office".to_owned()
    }
}

const LIBRARY: &str = "library";
const EXAM_ENDS: &str = "2026-12-01T12:00:00Z";
