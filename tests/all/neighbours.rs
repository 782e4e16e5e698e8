//! A device that serves what it holds to its neighbours: each file fetched once, nothing but a
//! repository's files shown, nobody able to do harm.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use diff_core::{CancelToken, Digest};
use satchel_tests::rig::course::{Course, Random};
use satchel_tests::rig::disk::{Fault, FaultyDisk};
use satchel_tests::rig::near::Near;
use satchel_tests::rig::server::{Misbehaviour, Request, Server};
use satchel_tests::rig::world::{Device, World, files_below, first_course, remove, second_course};
use updater_client::{
    FetchPolicy, FolderTransport, HttpTransport, Mirror, MirrorBuilder, Mirrors, Missing,
    Transport, UpdateError, UpdateOptions, Updated, UpdaterBuilder,
};

/// A repository behind a server that counts, and a laptop that is to be the mirror.
struct Class {
    world: World,
    server: Server,
    laptop: Device,
}

impl Class {
    fn new() -> Class {
        let world = World::new();
        world.publish("1.0", &first_course());
        let server = Server::start(world.repository()).unwrap();
        let laptop = world.device();
        Class {
            world,
            server,
            laptop,
        }
    }

    fn builder(&self) -> MirrorBuilder {
        MirrorBuilder::new(self.laptop.library())
            .fetching(FetchPolicy {
                first_wait: Duration::ZERO,
                longest_wait: Duration::ZERO,
                ..FetchPolicy::default()
            })
            .upstream(self.upstream())
            .spare_bytes(0)
    }

    fn upstream(&self) -> Arc<dyn Transport> {
        Arc::new(HttpTransport::new(&self.server.url()).unwrap())
    }

    fn mirror(&self) -> Arc<Mirror> {
        Arc::new(self.builder().build().unwrap())
    }

    /// Returns a device that has the first release.
    fn device(&self) -> Device {
        let device = self.world.device();
        update(&device, device.builder()).unwrap();
        device.confirm();
        device
    }

    /// Returns the largest content of the repository, and its bytes.
    fn largest(&self) -> (String, Vec<u8>) {
        let files = files_below(&self.world.repository().join("content"));
        let path = files
            .iter()
            .max_by_key(|path| fs::metadata(path).unwrap().len());
        let path = path.unwrap();
        (location_of(path), fs::read(path).unwrap())
    }

    fn asked(&self, location: &str) -> usize {
        let requests = self.server.requests();
        requests.iter().filter(|of| of.location == location).count()
    }

    fn kept(&self) -> Vec<PathBuf> {
        let mut files = files_below(&self.laptop.layout().mirror_content());
        files.retain(|path| path.file_name().is_some_and(|name| name != "used"));
        files
    }
}

fn location_of(content: &Path) -> String {
    let digest = content.file_name().unwrap().to_str().unwrap();
    format!("content/{}/{digest}", &digest[..2])
}

fn read(mirror: &Mirror, location: &str) -> io::Result<Vec<u8>> {
    let served = mirror.open(location).map_err(io::Error::other)?;
    let mut bytes = Vec::new();
    served.reader(0)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn update(device: &Device, builder: UpdaterBuilder) -> Result<Updated, UpdateError> {
    let (options, cancel) = (UpdateOptions::default(), CancelToken::new());
    builder.build()?.update(device.pack(), &options, &cancel)
}

fn update_over(device: &Device, mirror: &Arc<Mirror>) -> Result<Updated, UpdateError> {
    let near = Arc::new(Near::of(mirror));
    update(device, device.alone().repository(near))
}

#[test]
fn forty_devices_cost_the_repository_what_one_does() {
    let class = Class::new();
    let devices: Vec<Device> = (0..40).map(|_| class.world.device()).collect();
    let alone = class.world.device();
    let mut mirror = None;
    for course in [first_course(), second_course()] {
        if mirror.take().is_some() {
            class.world.publish("1.1", &course);
        }
        class.server.forget();
        update(&alone, alone.alone().repository(class.upstream())).unwrap();
        alone.confirm();
        let one = class.server.traffic();
        let is_patched = |of: &Request| of.location.contains("/patches/");
        assert!(class.server.requests().iter().any(is_patched));
        class.server.forget();
        let mirror = mirror.insert(class.mirror());
        thread::scope(|scope| {
            for devices in devices.chunks(5) {
                let (mirror, course) = (&*mirror, &course);
                scope.spawn(move || {
                    for device in devices {
                        update_over(device, mirror).unwrap();
                        device.assert_has(course);
                        device.confirm();
                    }
                });
            }
        });
        let all = class.server.traffic();
        // The very files that one device asks for, each once.
        assert_eq!((all.bodies, all.requests), (one.bodies, one.requests));
        assert_eq!(mirror.traffic().requests, one.requests);
        let again: Vec<_> = devices.iter().map(|of| update_over(of, mirror)).collect();
        assert!(again.iter().all(Result::is_ok));
        assert_eq!(class.server.traffic(), all, "a minute has not passed");
    }
}

#[test]
fn a_patch_that_leads_nowhere_costs_a_request_and_the_file_comes_whole() {
    let class = Class::new();
    let patches = "metadata/patches/*";
    let wrong = Misbehaviour::Instead(b"wrong".to_vec());
    class.server.misbehave(patches, wrong);
    let mirror = class.mirror();
    let device = class.world.device();
    update_over(&device, &mirror).unwrap();
    device.assert_has(&first_course());
    let requests = class.server.requests();
    let patch = requests.iter().find(|of| of.location.contains("/patches/"));
    let refused = mirror.open(&patch.unwrap().location);
    assert!(matches!(refused, Err(Missing::Absent)));
}

#[test]
fn a_laptop_without_network_serves_what_its_own_update_brought() {
    let class = Class::new();
    // It has been a mirror before, and so keeps for others what it fetches for itself.
    drop(class.mirror());
    update(&class.laptop, class.laptop.builder()).unwrap();
    class.laptop.confirm();
    let mirror = Arc::new(class.builder().without_upstream().build().unwrap());
    let device = class.world.device();
    update_over(&device, &mirror).unwrap();
    device.assert_has(&first_course());
    device.confirm();
    assert_eq!(class.server.traffic().requests, 0);
    // The laptop goes home, updates there while its mirror runs, and comes back.
    class.world.publish("1.1", &second_course());
    update(&class.laptop, class.laptop.builder()).unwrap();
    drop(mirror);
    let mirror = Arc::new(class.builder().without_upstream().build().unwrap());
    update_over(&device, &mirror).unwrap();
    device.assert_has(&second_course());
}

#[test]
fn what_a_mirror_passed_on_it_serves_when_the_network_is_gone() {
    let class = Class::new();
    let mirror = class.mirror();
    update_over(&class.world.device(), &mirror).unwrap();
    drop(mirror);
    class.server.misbehave("*", Misbehaviour::HangUp);
    let mirror = class.mirror();
    let device = class.world.device();
    update_over(&device, &mirror).unwrap();
    device.assert_has(&first_course());
}

#[test]
fn forty_that_ask_for_one_file_at_once_are_one_request() {
    let class = Class::new();
    let (location, bytes) = class.largest();
    let mirror = class.mirror();
    class
        .server
        .misbehave(&location, Misbehaviour::Stall { at: 1_000 });
    thread::scope(|scope| {
        let readers: Vec<_> = (0..40)
            .map(|_| scope.spawn(|| read(&mirror, &location)))
            .collect();
        class.server.wait_until_stalled();
        class.server.release();
        for reader in readers {
            assert_eq!(reader.join().unwrap().unwrap(), bytes);
        }
    });
    assert_eq!(class.asked(&location), 1);
    assert_eq!(class.kept().len(), 1);
    assert_eq!(read(&mirror, &location).unwrap(), bytes);
    assert_eq!(class.asked(&location), 1);
}

#[test]
fn content_is_passed_on_while_it_arrives_but_never_to_its_end_before_it_is_proved() {
    let class = Class::new();
    let mut large = Course::tiny();
    large.put("media/film.bin", Random::new(9).noise(400_000));
    class.world.publish("1.1", &large);
    let (location, bytes) = class.largest();
    let mirror = class.mirror();
    let most = bytes.len() as u64;
    class
        .server
        .misbehave_times(&location, 1, Misbehaviour::Stall { at: most - 1 });
    let served = mirror.open(&location).unwrap();
    assert_eq!(served.length(), Ok(Some(most)));
    let mut reader = served.reader(0).unwrap();
    let mut begun = vec![0; 300_000];
    reader.read_exact(&mut begun).unwrap();
    assert_eq!(begun, bytes[..300_000]);
    class.server.wait_until_stalled();
    class.server.release();
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, bytes[300_000..]);
}

#[test]
fn wrong_content_is_neither_completed_nor_kept_and_the_next_upstream_mends_it() {
    let class = Class::new();
    let (location, bytes) = class.largest();
    class
        .server
        .misbehave(&location, Misbehaviour::Flip { byte: 5 });
    let alone = class.mirror();
    for _ in 0..2 {
        let failed = read(&alone, &location);
        assert!(failed.is_err(), "{failed:?}");
    }
    assert_eq!(class.kept(), [] as [PathBuf; 0]);
    drop(alone);
    let good = Arc::new(FolderTransport::new(class.world.repository()));
    let both = Arc::new(Mirrors::new(vec![class.upstream(), good]));
    let mirror = class.builder().upstream(both).build().unwrap();
    assert!(read(&mirror, &location).is_err());
    assert_eq!(read(&mirror, &location).unwrap(), bytes);
}

#[test]
fn a_line_that_breaks_is_gone_on_with_behind_its_last_byte() {
    let class = Class::new();
    let (location, bytes) = class.largest();
    let most = bytes.len() as u64;
    class
        .server
        .misbehave_times(&location, 1, Misbehaviour::Reset { at: most / 2 });
    class
        .server
        .misbehave_times(&location, 1, Misbehaviour::Chunked);
    let mirror = class.mirror();
    assert_eq!(read(&mirror, &location).unwrap(), bytes);
    drop(mirror);
    // A mirror that was killed: half of the file lies there.
    for path in class.kept() {
        fs::remove_file(path).unwrap();
    }
    let digest: Digest = location.rsplit('/').next().unwrap().parse().unwrap();
    let partial = class.laptop.layout().mirror_partial(&digest);
    fs::write(&partial, &bytes[..bytes.len() / 2]).unwrap();
    class.server.forget();
    assert_eq!(read(&class.mirror(), &location).unwrap(), bytes);
    assert_eq!(class.server.traffic().bodies, most - most / 2);
    // What lies there may be longer than the file, and nothing of it.
    for path in class.kept() {
        fs::remove_file(path).unwrap();
    }
    fs::write(&partial, vec![7; bytes.len() + 10]).unwrap();
    assert_eq!(read(&class.mirror(), &location).unwrap(), bytes);
}

#[test]
fn content_that_rotted_on_the_mirrors_disk_is_fetched_again() {
    let class = Class::new();
    let (location, bytes) = class.largest();
    assert_eq!(read(&class.mirror(), &location).unwrap(), bytes);
    let kept = class.kept().remove(0);
    let mut rotten = bytes.clone();
    rotten[7] ^= 1;
    fs::write(kept, rotten).unwrap();
    assert_eq!(read(&class.mirror(), &location).unwrap(), bytes);
    assert_eq!(class.asked(&location), 2);
}

#[test]
fn what_was_asked_for_least_recently_makes_room() {
    let class = Class::new();
    let all: Vec<(String, u64)> = files_below(&class.world.repository().join("content"))
        .iter()
        .map(|path| (location_of(path), fs::metadata(path).unwrap().len()))
        .collect();
    let total: u64 = all.iter().map(|(_, length)| length).sum();
    let longest = all.iter().map(|(_, length)| *length).max().unwrap();
    let most = longest.max(total / 2);
    let mirror = class.builder().keep_bytes(most).build().unwrap();
    for (location, length) in &all {
        assert_eq!(read(&mirror, location).unwrap().len() as u64, *length);
        let kept: u64 = class
            .kept()
            .iter()
            .map(|path| fs::metadata(path).unwrap().len())
            .sum();
        assert!(kept <= most, "{kept} of {most}");
    }
    assert!(class.kept().len() < all.len());
    // All of it can be had again.
    for (location, length) in &all {
        assert_eq!(read(&mirror, location).unwrap().len() as u64, *length);
    }
}

#[test]
fn on_a_disk_that_is_nearly_full_nothing_is_fetched_for_others() {
    let class = Class::new();
    let (location, _) = class.largest();
    let mirror = class.builder().spare_bytes(u64::MAX / 2).build().unwrap();
    let served = mirror.open(&location).unwrap();
    assert!(matches!(served.length(), Err(Missing::NoRoom { .. })));
    assert_eq!(
        files_below(&class.laptop.layout().mirror_arriving()),
        [] as [PathBuf; 0]
    );
}

#[test]
fn nothing_but_the_files_of_a_repository_is_shown() {
    let class = Class::new();
    update(&class.laptop, class.laptop.builder()).unwrap();
    let mirror = class.mirror();
    read(&mirror, "metadata/timestamp.json").unwrap();
    let library = class.laptop.library();
    let mut asked = 0;
    for file in files_below(library) {
        let inside = file
            .strip_prefix(library)
            .unwrap()
            .to_str()
            .unwrap()
            .replace('\\', "/");
        for location in [
            inside.clone(),
            format!("/{inside}"),
            format!("metadata/../{inside}"),
            format!("content/../{inside}"),
            format!("targets/acme/biology/../../../{inside}"),
            format!("metadata/../../device-0/{inside}"),
            file.to_str().unwrap().to_owned(),
        ] {
            let refused = mirror.open(&location);
            assert!(
                matches!(refused, Err(Missing::Absent)),
                "{location}: {refused:?}"
            );
            asked += 1;
        }
    }
    assert!(asked > 100);
    let secret = fs::read_to_string(library.join("library.json")).unwrap();
    let device = secret.split('"').find(|part| part.len() == 32).unwrap();
    for request in class.server.requests() {
        assert!(!format!("{request:?}").contains(device), "{request:?}");
    }
}

static PASSED: AtomicU64 = AtomicU64::new(0);

#[test]
fn what_is_newest_is_asked_once_a_minute_and_never_goes_back() {
    fn now() -> Instant {
        static BEGAN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        *BEGAN.get_or_init(Instant::now) + Duration::from_secs(PASSED.load(Ordering::SeqCst))
    }
    let class = Class::new();
    let mirror = class.builder().monotonic(now).build().unwrap();
    let timestamp = "metadata/timestamp.json";
    let first = read(&mirror, timestamp).unwrap();
    let old = class.world.copy_of_repository();
    class.world.publish("1.1", &second_course());
    let newest = fs::read(class.world.repository().join(timestamp)).unwrap();
    for (passed, expected) in [(59, &first), (61, &newest)] {
        PASSED.store(passed, Ordering::SeqCst);
        for _ in 0..3 {
            assert_eq!(
                &read(&mirror, timestamp).unwrap(),
                expected,
                "after {passed} s"
            );
        }
    }
    assert_eq!(class.asked(timestamp), 2);
    // An older repository, a login page, half a file: what is held is newer, or at least something.
    PASSED.store(200, Ordering::SeqCst);
    let old = fs::read(old.join(timestamp)).unwrap();
    for (minute, wrong) in [
        Misbehaviour::Instead(old),
        Misbehaviour::LoginPage,
        Misbehaviour::Truncate { at: 100 },
        Misbehaviour::Instead(b"{}".to_vec()),
        Misbehaviour::HangUp,
    ]
    .into_iter()
    .enumerate()
    {
        PASSED.store(300 + 100 * minute as u64, Ordering::SeqCst);
        class.server.misbehave("metadata/*", wrong);
        assert_eq!(read(&mirror, timestamp).unwrap(), newest);
        class.server.behave();
    }
    // That there is no newer root is remembered too.
    PASSED.store(1_000, Ordering::SeqCst);
    class.server.forget();
    for _ in 0..40 {
        assert!(matches!(
            mirror.open("metadata/2.root.json"),
            Err(Missing::Absent)
        ));
    }
    assert_eq!(class.asked("metadata/2.root.json"), 1);
}

#[test]
fn neighbours_that_lie_are_gone_or_are_behind_are_passed_over() {
    let class = Class::new();
    let behind = class.world.copy_of_repository();
    let device = class.device();
    class.world.publish("1.1", &second_course());
    let liar = class.world.copy_of_repository();
    for path in files_below(&liar) {
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        if let Some(byte) = bytes.get_mut(middle) {
            *byte ^= 1;
        }
        fs::write(path, bytes).unwrap();
    }
    let gone = "http://127.0.0.1:9";
    let neighbours: [(&str, Arc<dyn Transport>); 3] = [
        ("lies", Arc::new(FolderTransport::new(&liar))),
        ("is behind", Arc::new(FolderTransport::new(&behind))),
        ("is gone", Arc::new(HttpTransport::new(gone).unwrap())),
    ];
    for (how, neighbour) in neighbours {
        let copy = device.copied_to(class.world.folder().join(format!("beside one that {how}")));
        // Told where to go by hand, a person hears of it.
        let from = copy.alone().repository(Arc::clone(&neighbour));
        let told = update(&copy, from).map(|updated| updated.route);
        match how {
            "lies" => assert_eq!(told.unwrap_err().kind(), updater_client::ErrorKind::Refused),
            "is behind" => assert_eq!(told.unwrap(), None),
            _ => assert_eq!(told.unwrap_err().code(), "unreachable"),
        }
        // Found nearby, it is a hint.
        let updated = update(&copy, copy.alone().nearby(vec![neighbour]));
        updated.unwrap_or_else(|failed| panic!("beside one that {how}: {failed}"));
        copy.assert_has(&second_course());
    }
}

#[test]
fn a_device_beside_a_mirror_asks_its_own_repository_for_what_is_newest_alone() {
    let class = Class::new();
    let mirror = class.mirror();
    update_over(&class.world.device(), &mirror).unwrap();
    class.server.forget();
    let device = class.world.device();
    let own = class.upstream();
    let near = Arc::new(Near::of(&mirror));
    update(&device, device.alone().repository(own).nearby(vec![near])).unwrap();
    device.assert_has(&first_course());
    let mut asked: Vec<String> = class
        .server
        .requests()
        .into_iter()
        .map(|of| of.location)
        .collect();
    asked.sort();
    assert_eq!(asked, ["metadata/2.root.json", "metadata/timestamp.json"]);
}

#[test]
fn a_library_has_one_mirror_and_its_own_updates_wait_for_none() {
    let class = Class::new();
    let mirror = class.mirror();
    let failed = class.builder().build().map(|_| ()).unwrap_err();
    assert_eq!(failed.code(), "busy", "{failed}");
    update(&class.laptop, class.laptop.builder()).unwrap();
    class.laptop.assert_has(&first_course());
    drop(mirror);
    class.mirror();
}

#[test]
fn a_power_cut_at_any_call_of_a_mirror_leaves_nothing_wrong_and_nothing_in_its_way() {
    let class = Class::new();
    let repository = class.world.repository();
    let files: Vec<(String, Vec<u8>)> = files_below(&repository)
        .iter()
        .map(|path| {
            let location = path.strip_prefix(&repository).unwrap().to_str().unwrap();
            (location.replace('\\', "/"), fs::read(path).unwrap())
        })
        .filter(|(location, _)| location.contains('/') && !location.contains("/."))
        // No device asks for what was done to the repository, and a mirror has no patches.
        .filter(|(location, _)| !location.starts_with("audit/") && !location.contains("/patches/"))
        .collect();
    let builder = |library: &Path| {
        MirrorBuilder::new(library)
            .upstream(Arc::new(FolderTransport::new(&repository)))
            .spare_bytes(0)
    };
    let serve = |library: &Path, disk: Arc<FaultyDisk>| {
        if let Ok(mirror) = builder(library).disk(disk).build() {
            for (location, bytes) in &files {
                // What cannot be kept is passed on all the same, or not; never wrong.
                if let Ok(found) = read(&mirror, location) {
                    assert!(found == *bytes, "{location}");
                }
            }
        }
    };
    let counting = Arc::new(FaultyDisk::new(Fault::Nothing));
    let counted = class.laptop.copied_to(class.world.folder().join("counted"));
    serve(counted.library(), Arc::clone(&counting));
    assert!(counting.calls() > 50, "{}", counting.calls());
    for at in 0..counting.calls() {
        let laptop = class
            .laptop
            .copied_to(class.world.folder().join(format!("cut-{at}")));
        let disk = Arc::new(FaultyDisk::new(Fault::PowerCut {
            at,
            torn: at % 2 == 0,
        }));
        serve(laptop.library(), Arc::clone(&disk));
        assert!(disk.has_failed());
        let held = builder(laptop.library())
            .without_upstream()
            .build()
            .unwrap();
        for (location, bytes) in &files {
            if let Ok(found) = read(&held, location) {
                assert!(found == *bytes, "cut at {at}: {location}");
            }
        }
        drop(held);
        let mirror = builder(laptop.library()).build().unwrap();
        for (location, bytes) in &files {
            assert_eq!(
                &read(&mirror, location).unwrap(),
                bytes,
                "cut at {at}: {location}"
            );
        }
        drop(mirror);
        update(&laptop, laptop.builder()).unwrap();
        remove(laptop.library());
    }
}
