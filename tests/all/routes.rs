//! Which way an update takes, and what becomes of it when the way is lost.

use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use diff_core::CancelToken;
use publisher::DeltaFrom;
use satchel_tests::rig::course::Course;
use satchel_tests::rig::world::{Device, Partial, World, first_course, remove};
use updater_client::{
    Body, Event, FetchPolicy, FolderTransport, Transport, TransportError, UpdateError,
    UpdateOptions, Updated,
};

/// Returns the course of the release with this number: each one is a revision of the one before.
fn course(number: u64) -> Course {
    (2..=number).fold(first_course(), |course, seed| course.revised_lightly(seed))
}

/// Publishes releases 1 to `last`, each with a delta from the one before it and from nothing.
fn chain_of(last: u64) -> (World, Device) {
    let world = World::new();
    let device = world.device();
    for number in 1..=last {
        let from = |options: &mut publisher::PublishOptions| {
            options.delta_from = DeltaFrom::Last(1);
        };
        world.publish_with(&number.to_string(), &course(number), from);
        if number == 1 {
            device.update().unwrap();
            device.confirm();
        }
    }
    (world, device)
}

fn route_of(device: &Device) -> updater_client::Route {
    let cancel = CancelToken::new();
    let check = device.updater().check(device.pack(), &cancel).unwrap();
    check.plan.unwrap().route
}

/// Updates, and returns what came of it with the reasons for which routes were abandoned.
fn update_told(
    device: &Device,
    repository: &Path,
    budget: Option<u64>,
) -> (Result<Updated, UpdateError>, Vec<String>) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&told);
    let observer = move |event: &Event| {
        if let Event::RouteAbandoned { reason, .. } = event {
            heard.lock().unwrap().push(reason.clone());
        }
    };
    let updater = device
        .alone()
        .repository(Arc::new(FolderTransport::new(repository)))
        .observer(Arc::new(observer))
        .build()
        .unwrap();
    let options = UpdateOptions {
        budget_bytes: budget,
        ..UpdateOptions::default()
    };
    let updated = updater.update(device.pack(), &options, &CancelToken::new());
    let told = told.lock().unwrap().clone();
    (updated, told)
}

#[test]
fn a_device_that_is_several_releases_behind_comes_by_several_deltas_in_one_update() {
    let (_world, device) = chain_of(5);
    let route = route_of(&device);
    assert_eq!(route.hops.len(), 4);
    assert_eq!(route.requests(), 4);
    let updated = device.update().unwrap();
    assert_eq!(updated.route.unwrap(), route);
    assert!(updated.traffic.bytes < route.fetch_bytes() + 10_000);
    device.assert_has(&course(5));
    device.assert_tidy(Partial::Gone);
    device.confirm();
    let report = device
        .updater()
        .verify(device.pack(), &CancelToken::new())
        .unwrap();
    assert!(report.is_sound());
}

#[test]
fn a_delta_that_is_lost_or_spoiled_sends_the_update_another_way() {
    let (world, before) = chain_of(4);
    let route = route_of(&before);
    for harm in ["gone", "cut", "flipped"] {
        for hop in &route.hops {
            let place = world.copy_of_repository();
            let device = before.copied_to(place.with_extension("device"));
            let path = place.join(hop.delta.location());
            let mut bytes = fs::read(&path).unwrap();
            match harm {
                "gone" => fs::remove_file(&path).unwrap(),
                "cut" => fs::write(&path, &bytes[..bytes.len() / 2]).unwrap(),
                _ => {
                    bytes[20] ^= 1;
                    fs::write(&path, bytes).unwrap();
                }
            }
            let (updated, told) = update_told(&device, &place, None);
            assert_eq!(told.len(), 1, "{harm}: {told:?}");
            let taken = updated.unwrap().route.unwrap();
            assert!(taken.hops.iter().all(|of| of.delta != hop.delta), "{harm}");
            device.assert_has(&course(4));
            device.assert_tidy(Partial::Gone);
        }
    }
}

#[test]
fn another_way_than_the_planned_one_is_not_taken_beyond_the_budget() {
    let (world, device) = chain_of(3);
    let route = route_of(&device);
    let lost = world.repository().join(route.hops[1].delta.location());
    fs::remove_file(lost).unwrap();
    let budget = route.fetch_bytes() + 100;
    let (updated, _) = update_told(&device, &world.repository(), Some(budget));
    let failed = updated.unwrap_err();
    assert_eq!(failed.code(), "absent", "{failed}");
    device.assert_has(&course(1));
    // What had arrived of the way that was lost is no loss: it is fetched as soon as it is there.
    let (updated, _) = update_told(&device, &world.repository(), None);
    updated.unwrap();
    device.assert_has(&course(3));
}

#[test]
fn damage_in_the_release_that_a_chain_starts_from_is_found_before_the_switch() {
    let (world, device) = chain_of(3);
    let tree = device
        .updater()
        .status(device.pack())
        .unwrap()
        .tree
        .unwrap();
    remove(tree.join("media/photo.jpg"));
    let (updated, told) = update_told(&device, &world.repository(), None);
    assert_eq!(told.len(), 1, "{told:?}");
    let taken = updated.unwrap().route.unwrap();
    assert!(taken.hops.iter().all(|hop| hop.from.is_none()), "{taken:?}");
    device.assert_has(&course(3));
    device.assert_tidy(Partial::Gone);
}

#[test]
fn where_every_way_is_lost_the_first_loss_is_told_and_the_course_stays() {
    let (world, device) = chain_of(2);
    for file in satchel_tests::rig::world::files_below(&world.repository().join("content")) {
        fs::remove_file(file).unwrap();
    }
    let (updated, told) = update_told(&device, &world.repository(), None);
    assert_eq!(updated.unwrap_err().code(), "absent");
    assert_eq!(told.len(), 2, "{told:?}");
    device.assert_has(&course(1));
    device.assert_tidy(Partial::Gone);
}

/// Publishes two releases of a bulky course, the second one without a delta from the first, to a device
/// that has the first.
fn without_a_delta() -> (World, Device, Course) {
    let world = World::new();
    let first = Course::bulky(3);
    world.publish("1", &first);
    let device = world.device();
    device.update().unwrap();
    device.confirm();
    let mut second = first.revised(4);
    second.edit("media/lecture.mp4", |bytes| {
        bytes.splice(500_000..500_000, *b"a frame more");
    });
    world.publish_with("2", &second, |options| {
        options.delta_from = DeltaFrom::Last(0);
    });
    (world, device, second)
}

#[test]
fn where_no_delta_leads_on_only_missing_chunks_are_fetched() {
    let (_world, device, second) = without_a_delta();
    let cancel = CancelToken::new();
    let plan = device.updater().check(device.pack(), &cancel).unwrap().plan;
    let plan = plan.unwrap();
    let way = plan.route.chunks.unwrap();
    let full = plan.alternatives.iter().find(|route| route.is_full());
    assert!(way.fetch_bytes * 4 < full.unwrap().fetch_bytes(), "{way:?}");
    let updated = device.update().unwrap();
    assert_eq!(updated.route.unwrap(), plan.route);
    // What told of the chunks was fetched by the check.
    let metadata = 10_000;
    assert!(
        updated.traffic.bytes <= way.fetch_bytes + metadata,
        "{:?}",
        updated.traffic
    );
    device.assert_has(&second);
    device.assert_tidy(Partial::Gone);
    device.confirm();
    let report = device.updater().verify(device.pack(), &cancel).unwrap();
    assert!(report.is_sound());
}

/// A folder whose chunks come only once two requests for them are on their way, and which counts those.
struct Together {
    folder: FolderTransport,
    open: Arc<(Mutex<OpenBodies>, Condvar)>,
}

#[derive(Default)]
struct OpenBodies {
    now: usize,
    most: usize,
    ever: usize,
}

struct OpenBody {
    inner: Box<dyn Read + Send>,
    open: Arc<(Mutex<OpenBodies>, Condvar)>,
}

impl Transport for Together {
    fn open(&self, location: &str, from: u64) -> Result<Body, TransportError> {
        let mut body = self.folder.open(location, from)?;
        // What tells of chunks was fetched by a check.
        if location.starts_with("content/") {
            let (bodies, changed) = &*self.open;
            let mut bodies = bodies.lock().unwrap();
            bodies.now += 1;
            bodies.ever += 1;
            bodies.most = bodies.most.max(bodies.now);
            changed.notify_all();
            let (inner, open) = (body.reader, Arc::clone(&self.open));
            body.reader = Box::new(OpenBody { inner, open });
        }
        Ok(body)
    }

    fn address(&self) -> String {
        self.folder.address()
    }
}

impl Read for OpenBody {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (bodies, changed) = &*self.open;
        let bodies = bodies.lock().unwrap();
        let is_alone = |bodies: &mut OpenBodies| bodies.ever < 2;
        let long = Duration::from_secs(60);
        let (bodies, waited) = changed.wait_timeout_while(bodies, long, is_alone).unwrap();
        assert!(!waited.timed_out(), "one request waits for the other");
        drop(bodies);
        self.inner.read(buffer)
    }
}

impl Drop for OpenBody {
    fn drop(&mut self) {
        self.open.0.lock().unwrap().now -= 1;
    }
}

#[test]
fn several_requests_for_chunks_are_on_their_way_at_once_and_no_more_than_are_allowed() {
    let world = World::new();
    let device = world.device();
    let mut course = Course::bulky(3);
    for number in 1..=4 {
        let at = 200_000 * number as usize;
        course.edit("media/lecture.mp4", |bytes| bytes[at] ^= 1);
        world.publish_with(&number.to_string(), &course, |options| {
            options.delta_from = DeltaFrom::Last(0);
        });
        if number == 1 {
            device.update().unwrap();
            device.confirm();
        }
    }
    // The chunks of three releases lie in as many archives.
    assert!(route_of(&device).requests() > 2);
    let open = Arc::new((Mutex::new(OpenBodies::default()), Condvar::new()));
    let together = Arc::new(Together {
        folder: FolderTransport::new(world.repository()),
        open: Arc::clone(&open),
    });
    let policy = FetchPolicy {
        requests_at_once: 2,
        ..FetchPolicy::default()
    };
    let builder = device.alone().repository(together).fetching(policy);
    let (options, cancel) = (UpdateOptions::default(), CancelToken::new());
    let updater = builder.build().unwrap();
    updater.update(device.pack(), &options, &cancel).unwrap();
    device.assert_has(&course);
    let bodies = open.0.lock().unwrap();
    assert_eq!((bodies.most, bodies.now), (2, 0));
    assert!(bodies.ever > 2, "{}", bodies.ever);
}

#[test]
fn beyond_the_budget_not_even_what_tells_of_chunks_is_fetched() {
    let (world, device, _second) = without_a_delta();
    let (updated, _) = update_told(&device, &world.repository(), Some(1_000));
    let failed = updated.unwrap_err();
    assert_eq!(failed.code(), "over-budget", "{failed}");
    let arrived = satchel_tests::rig::world::files_below(&device.layout().downloads());
    assert_eq!(arrived, Vec::<std::path::PathBuf>::new());
}

#[test]
fn chunks_of_a_damaged_release_are_fetched_where_they_are_damaged() {
    let (_world, device, second) = without_a_delta();
    let tree = device
        .updater()
        .status(device.pack())
        .unwrap()
        .tree
        .unwrap();
    // In the middle of the large file, and a file that the new release has as it was.
    for (path, at) in [("media/lecture.mp4", 900_000), ("media/photo.jpg", 20_000)] {
        let mut bytes = fs::read(tree.join(path)).unwrap();
        bytes[at] ^= 1;
        remove(tree.join(path));
        fs::write(tree.join(path), bytes).unwrap();
    }
    remove(tree.join("chapters/04/lesson.html"));
    let updated = device.update().unwrap();
    assert!(updated.route.unwrap().chunks.is_some());
    assert!(
        updated.traffic.bytes < second.bytes() / 3,
        "{:?}",
        updated.traffic
    );
    device.assert_tidy(Partial::Gone);
    let found = Course::read(
        &device
            .updater()
            .status(device.pack())
            .unwrap()
            .tree
            .unwrap(),
    );
    let mut found = found.unwrap();
    // Damage of the same length in a file that goes on unchanged is for `verify` to find.
    found.put("media/photo.jpg", second.get("media/photo.jpg"));
    assert_eq!(second.difference(&found), None);
}

#[test]
fn where_chunks_are_lost_the_release_is_fetched_whole() {
    let (world, device, second) = without_a_delta();
    let route = route_of(&device);
    let delta = world.repository().join(
        device
            .updater()
            .check(device.pack(), &CancelToken::new())
            .unwrap()
            .plan
            .unwrap()
            .alternatives[0]
            .hops[0]
            .delta
            .location(),
    );
    assert!(route.chunks.is_some());
    for file in satchel_tests::rig::world::files_below(&world.repository().join("content")) {
        let is_archive = fs::read(&file).unwrap().starts_with(b"SARC");
        if file != delta && is_archive {
            fs::remove_file(file).unwrap();
        }
    }
    let (updated, told) = update_told(&device, &world.repository(), None);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(updated.unwrap().route.unwrap().is_full());
    device.assert_has(&second);
    device.assert_tidy(Partial::Gone);
}

#[test]
fn what_another_pack_has_is_not_fetched_again() {
    let world = World::new();
    let first = Course::bulky(3);
    world.publish("1", &first);
    let device = world.device();
    device.update().unwrap();
    device.confirm();
    let mut other = Course::small(9);
    other.put("shared/film.mp4", first.get("media/lecture.mp4"));
    other.put("shared/second.mp4", first.get("media/second.mp4"));
    let pack = release_format::PackName::parse("acme/chemistry").unwrap();
    world.publish_with("2", &other, |options| options.pack = pack.clone());
    let (options, cancel) = (UpdateOptions::default(), CancelToken::new());
    let updated = device.updater().update(&pack, &options, &cancel).unwrap();
    assert!(updated.route.unwrap().chunks.is_some());
    let shared = first.get("media/lecture.mp4").len() + first.get("media/second.mp4").len();
    assert!(updated.traffic.bytes < other.bytes() - shared as u64 + 20_000);
    let tree = device.updater().status(&pack).unwrap().tree.unwrap();
    let found = Course::read(&tree).unwrap();
    assert_eq!(other.difference(&found), None);
}

#[test]
fn a_release_that_no_delta_leads_to_is_put_together_of_chunks_on_an_empty_device() {
    let world = World::new();
    world.publish("1", &course(1));
    let forger = world.forger(&world.repository());
    let forget = |catalogue: &mut serde_json::Value| {
        catalogue["releases"][0]["deltas"] = serde_json::json!([]);
    };
    forger.change_catalogue(world.pack(), forget).unwrap();
    let device = world.device();
    let updated = device.update().unwrap();
    assert!(updated.route.unwrap().chunks.is_some());
    device.assert_has(&course(1));
    device.assert_tidy(Partial::Gone);
}
