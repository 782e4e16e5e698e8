//! Every single bit of a small whole repository, flipped: refused, or harmless; never other content.
//!
//! A slice runs with the other tests. All bits take minutes: `SATCHEL_SLOW=1 cargo test --release -p
//! satchel-tests bit_flips`.

use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use satchel_tests::rig::course::Course;
use satchel_tests::rig::world::{Device, World, files_below, remove};
use updater_client::transport::TransportError;
use updater_client::{Body, ErrorKind, Transport};

/// A mirror in memory, of which one bit may be flipped.
struct Mirror {
    files: Arc<BTreeMap<String, Vec<u8>>>,
    flipped: Option<(String, usize)>,
    asked: Mutex<Vec<String>>,
}

impl Transport for Mirror {
    fn open(&self, location: &str, from: u64) -> Result<Body, TransportError> {
        self.asked.lock().unwrap().push(location.to_owned());
        let absent = || TransportError::Absent {
            location: location.to_owned(),
        };
        let mut bytes = self.files.get(location).ok_or_else(absent)?.clone();
        if let Some((flipped, bit)) = &self.flipped
            && flipped == location
        {
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        let total = bytes.len() as u64;
        let mut reader = Cursor::new(bytes);
        reader.set_position(from);
        Ok(Body {
            reader: Box::new(reader),
            starts_at: from,
            total: Some(total),
            content_type: None,
        })
    }

    fn address(&self) -> String {
        "memory".to_owned()
    }
}

/// A repository of one small release, and a device that trusts its root and has nothing yet.
struct Small {
    world: World,
    device: Device,
    course: Course,
    files: Arc<BTreeMap<String, Vec<u8>>>,
}

impl Small {
    /// With or without the patches by which most metadata comes.
    fn new(with_patches: bool) -> Small {
        let world = World::new();
        let course = Course::tiny();
        world.publish("1.0", &course);
        let repository = world.repository();
        let location = |file: &Path| {
            let name = file.strip_prefix(&repository).unwrap();
            name.to_str().unwrap().replace('\\', "/")
        };
        let files = files_below(&repository);
        let files = files
            .iter()
            .map(|file| (location(file), fs::read(file).unwrap()))
            .filter(|(name, _)| with_patches || !name.starts_with(PATCHES));
        let files = Arc::new(files.collect());
        let device = world.device();
        Small {
            world,
            device,
            course,
            files,
        }
    }

    fn mirror(&self, flipped: Option<(String, usize)>) -> Arc<Mirror> {
        Arc::new(Mirror {
            files: Arc::clone(&self.files),
            flipped,
            asked: Mutex::default(),
        })
    }

    /// Installs from a mirror with one bit flipped, and tells whether that went.
    fn survives(&self, place: &Path, location: &str, bit: usize) -> bool {
        if place.exists() {
            remove(place);
        }
        let device = self.device.copied_to(place.to_owned());
        let mirror = self.mirror(Some((location.to_owned(), bit)));
        let outcome = device.update_over(mirror);
        let told = format!("bit {bit} of {location}");
        match outcome {
            Ok(_) => {
                let status = device.updater().status(device.pack()).unwrap();
                let found = Course::read(&status.tree.expect("it was activated")).unwrap();
                assert_eq!(self.course.difference(&found), None, "{told}");
                true
            }
            Err(failed) => {
                let is_told = matches!(
                    failed.kind(),
                    ErrorKind::Refused | ErrorKind::Unsupported | ErrorKind::Unreachable
                );
                assert!(is_told, "{told}: {failed}");
                assert_eq!(device.active_label(), None, "{told}");
                false
            }
        }
    }
}

#[test]
fn bit_flips_are_refused_or_harmless() {
    let small = Small::new(false);
    // Only what a device asks for can harm it.
    let mirror = small.mirror(None);
    let probe = small.device.copied_to(small.world.folder().join("probe"));
    probe.update_over(mirror.clone()).unwrap();
    let asked = mirror.asked.lock().unwrap().clone();
    let fetched = small.files.iter().filter(|(name, _)| asked.contains(name));
    let flips: Vec<(String, usize)> = fetched
        .flat_map(|(name, bytes)| (0..bytes.len() * 8).map(move |bit| (name.clone(), bit)))
        .collect();
    for kind in ["metadata/timestamp", "targets/", "content/"] {
        assert!(
            flips.iter().any(|(name, _)| name.starts_with(kind)),
            "{kind}"
        );
    }
    let is_slow = std::env::var_os("SATCHEL_SLOW").is_some();
    let step = if is_slow { 1 } else { SLICE };
    let (next, harmless) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|threads| {
        for number in 0..2 {
            let place = small.world.folder().join(format!("flipped-{number}"));
            let (small, flips, next, harmless) = (&small, &flips, &next, &harmless);
            threads.spawn(move || {
                while let Some((name, bit)) = flips.get(next.fetch_add(step, Ordering::Relaxed)) {
                    if small.survives(&place, name, *bit) {
                        harmless.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let (tried, harmless) = (flips.len().div_ceil(step), harmless.into_inner());
    println!(
        "{tried} of {} bits tried, {harmless} harmless, none accepted as other content",
        flips.len()
    );
    // The case of hexadecimal digits in signatures, and deltas, which chunks stand in for.
    assert!(harmless * 8 < tried, "{harmless} of {tried}");
}

#[test]
fn bit_flips_in_patches_are_harmless() {
    let small = Small::new(true);
    let place = small.world.folder().join("flipped");
    let patches = small
        .files
        .iter()
        .filter(|(name, _)| name.starts_with(PATCHES));
    let flips = patches.flat_map(|(name, bytes)| (0..bytes.len() * 8).map(move |bit| (name, bit)));
    let mut tried = 0;
    for (name, bit) in flips.step_by(SLICE) {
        assert!(small.survives(&place, name, bit), "bit {bit} of {name}");
        tried += 1;
    }
    assert!(tried > 20, "{tried}");
}

const PATCHES: &str = "metadata/patches/";
/// A prime, so that the slice visits every bit of a byte.
const SLICE: usize = 199;
