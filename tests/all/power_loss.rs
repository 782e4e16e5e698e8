//! Every verb that changes a library, and then the power gone: what is not durable is lost, zeroed,
//! torn or kept in any mixture, and the device goes on from the old state or the new one, whole.
//!
//! A seeded slice runs with the other tests. All states take minutes: `SATCHEL_SLOW=1 cargo test
//! --release -p satchel-tests --test all -- --nocapture power_loss`.

mod judge;
mod locked;
mod order;
mod scene;
mod told;
mod troubles;

use std::collections::HashSet;
use std::sync::Arc;

use satchel_tests::rig::sim::{Cache, Crash, Durability, Image, SimDisk, crashes};
use updater_client::library::disk::Disk;

use judge::{Judge, Tried};
use scene::{Play, Scene, Verb};

const MODELS: [Durability; 2] = [Durability::Journaled, Durability::Weakest];

/// How much of all there is to try is tried.
struct Reach {
    /// States of each scene and model; the others are left out evenly.
    states: usize,
    /// Steps of each scene behind which the power goes.
    steps: usize,
    /// Mixtures at each step.
    mixtures: usize,
    /// Moments at which a process is killed, and states from which a recovery is crashed.
    moments: usize,
    /// States that are tried of each such moment.
    crashes: usize,
    /// Calls that each trouble of a disk is met at.
    troubled: usize,
}

fn reach() -> Reach {
    match std::env::var_os("SATCHEL_SLOW") {
        Some(_) => Reach {
            states: usize::MAX,
            steps: usize::MAX,
            mixtures: 6,
            moments: 16,
            crashes: 8,
            troubled: usize::MAX,
        },
        None => Reach {
            states: 8,
            steps: 5,
            mixtures: 1,
            moments: 2,
            crashes: 3,
            troubled: 2,
        },
    }
}

#[test]
fn enrolling_survives_whatever_a_power_cut_leaves() {
    explore(Verb::Enroll);
}

#[test]
fn a_first_install_survives_whatever_a_power_cut_leaves() {
    explore(Verb::Install);
}

#[test]
fn an_update_by_delta_survives_whatever_a_power_cut_leaves() {
    explore(Verb::Update);
}

#[test]
fn an_update_without_links_survives_whatever_a_power_cut_leaves() {
    explore(Verb::UpdateByCopies);
}

#[test]
fn an_update_by_a_full_download_survives_whatever_a_power_cut_leaves() {
    explore(Verb::UpdateInFull);
}

#[test]
fn an_update_of_what_was_staged_survives_whatever_a_power_cut_leaves() {
    explore(Verb::SwitchToStaged);
}

#[test]
fn staging_survives_whatever_a_power_cut_leaves() {
    explore(Verb::StageOnly);
}

#[test]
fn an_update_that_drops_a_release_survives_whatever_a_power_cut_leaves() {
    explore(Verb::UpdateAndDrop);
}

#[test]
fn confirming_survives_whatever_a_power_cut_leaves() {
    explore(Verb::Confirm);
}

#[test]
fn failing_survives_whatever_a_power_cut_leaves() {
    explore(Verb::Fail);
}

#[test]
fn reverting_survives_whatever_a_power_cut_leaves() {
    explore(Verb::Revert);
}

#[test]
fn opening_on_trial_survives_whatever_a_power_cut_leaves() {
    explore(Verb::Open);
}

#[test]
fn the_last_opening_survives_whatever_a_power_cut_leaves() {
    explore(Verb::OpenTooOften);
}

#[test]
fn holding_survives_whatever_a_power_cut_leaves() {
    explore(Verb::Hold);
}

#[test]
fn pinning_survives_whatever_a_power_cut_leaves() {
    explore(Verb::Pin);
}

#[test]
fn pruning_survives_whatever_a_power_cut_leaves() {
    explore(Verb::Prune);
}

#[test]
fn healing_files_survives_whatever_a_power_cut_leaves() {
    explore(Verb::Heal);
}

#[test]
fn healing_a_record_survives_whatever_a_power_cut_leaves() {
    explore(Verb::HealRecord);
}

#[test]
fn reporting_survives_whatever_a_power_cut_leaves() {
    explore(Verb::Report);
}

/// Nothing is written around the disk: what was written down is what lies there.
#[test]
fn all_that_a_library_changes_goes_through_its_disk() {
    let play = Play::new();
    for verb in Verb::ALL {
        let scene = Scene::new(&play, verb);
        let (base, device) = scene.place("all-changes");
        let before = Image::read(&base);
        let disk = Arc::new(SimDisk::new(scene.script()));
        scene.run(&device, disk.clone()).unwrap();
        let mut cache = Cache::new(&base, &before, Durability::Weakest);
        let trace = disk.trace();
        let trace = trace.lock().unwrap();
        assert!(!trace.steps.is_empty(), "{verb:?}");
        trace.steps.iter().for_each(|step| cache.apply(step));
        let differences = cache.live().differences(&Image::read(&base));
        assert!(differences.is_empty(), "{verb:?}: {differences:?}");
    }
}

/// Recovery is the next update's: whoever opens a course reads records and asks nobody.
#[test]
fn opening_after_any_crash_takes_a_few_calls_and_reads_no_lesson() {
    let play = Play::new();
    let scene = Scene::new(&play, Verb::UpdateAndDrop);
    let (states, _) = states_of(&scene, Durability::Weakest);
    for state in &states {
        let (_, device) = scene.place_image("opened", &state.image);
        let disk = Arc::new(SimDisk::new(scene.script()));
        let updater = device.builder().disk(disk.clone()).build().unwrap();
        let tree = updater.open_pack(device.pack()).unwrap().tree;
        let trace = disk.trace();
        let trace = trace.lock().unwrap();
        assert!(trace.calls.len() <= MAX_CALLS, "{}", trace.calls.len());
        let mut inner = trace.calls.iter().filter(|call| call.path != tree);
        let lesson = inner.find(|call| call.path.starts_with(&tree));
        assert!(lesson.is_none(), "{lesson:?}");
    }
}

/// A verb that is killed, then run again to its end, and the power gone after that: what the killed
/// process left unsynced must not take the success back.
#[test]
fn a_success_behind_a_killed_process_survives_whatever_a_power_cut_leaves() {
    let play = Play::new();
    for verb in Verb::ALL {
        let scene = Scene::new(&play, verb);
        let judge = Judge::new(&scene);
        let mut tried = Tried::default();
        for at in moments(calls_of(&scene)) {
            let (base, device) = scene.place("killed");
            let before = Image::read(&base);
            let trace = scene.run_killed(&device, at);
            let again = || -> Arc<dyn Disk> {
                Arc::new(SimDisk::going_on(scene.script(), Arc::clone(&trace)))
            };
            // How far the trace had come at each success, and what was true then.
            let mut successes = Vec::new();
            for next in [Scene::run, Scene::then_update] {
                if next(&scene, &device, again()).is_ok() {
                    let steps = trace.lock().unwrap().steps.len();
                    successes.push((steps, judge.shape(&device)));
                }
            }
            assert!(!successes.is_empty(), "{verb:?} killed at {at}");
            let steps = trace.lock().unwrap().steps.clone();
            for durability in MODELS {
                for (end, shape) in &successes {
                    let mut cache = Cache::new(&base, &before, durability);
                    steps.iter().take(*end).for_each(|step| cache.apply(step));
                    for crash in some_crashes(&cache, at) {
                        let kept = crash.kept;
                        let told = format!("{verb:?} killed at {at}, {durability:?}: {kept}");
                        let accepted = std::slice::from_ref(shape);
                        judge.try_state(&crash.image, accepted, told, &mut tried);
                    }
                }
            }
        }
        tried.report(&format!("{verb:?}, killed and run again"));
    }
}

/// A crash, and another while the next update recovers from it.
#[test]
fn a_recovery_survives_whatever_a_power_cut_leaves() {
    let play = Play::new();
    for verb in [Verb::Install, Verb::Update, Verb::UpdateAndDrop, Verb::Fail] {
        let scene = Scene::new(&play, verb);
        let judge = Judge::new(&scene);
        let mut tried = Tried::default();
        let mut states = Vec::new();
        for durability in MODELS {
            states.extend(states_of(&scene, durability).0);
        }
        for index in moments(states.len()) {
            let state = &states[index];
            let (base, device) = scene.place_image("recovered", &state.image);
            let before = judge.shape(&device);
            let disk = SimDisk::new(scene.script());
            let trace = disk.trace();
            scene.then_update(&device, Arc::new(disk)).unwrap();
            let after = judge.shape(&device);
            let steps = trace.lock().unwrap().steps.clone();
            for durability in MODELS {
                let mut cache = Cache::new(&base, &state.image, durability);
                let tests: Vec<usize> = moments(steps.len());
                for (number, step) in (1..).zip(&steps) {
                    cache.apply(step);
                    if !tests.contains(&number) && number != steps.len() {
                        continue;
                    }
                    let accepted: Vec<_> = match number == steps.len() {
                        true => vec![after.clone()],
                        false => Judge::between(&before, &after),
                    };
                    for crash in some_crashes(&cache, number) {
                        let told = format!(
                            "{verb:?}, {}; recovery cut at {number}, {durability:?}: {}",
                            state.told, crash.kept
                        );
                        judge.try_state(&crash.image, &accepted, told, &mut tried);
                    }
                }
            }
        }
        tried.report(&format!("recovery after {verb:?}"));
    }
}

fn explore(verb: Verb) {
    let play = Play::new();
    let scene = Scene::new(&play, verb);
    let judge = Judge::new(&scene);
    for durability in MODELS {
        let (states, all) = states_of(&scene, durability);
        let mut tried = Tried::default();
        for state in &states {
            let accepted = match state.is_acknowledged {
                true => vec![judge.new_shape()],
                false => Judge::between(&judge.old_shape(), &judge.new_shape()),
            };
            judge.try_state(&state.image, &accepted, state.told.clone(), &mut tried);
        }
        tried.report(&format!("{verb:?}, {durability:?}, of {all} states"));
    }
}

/// What a crash may leave of a verb.
struct State {
    image: Image,
    is_acknowledged: bool,
    told: String,
}

/// Returns what crashes at every step of the scene's verb may leave, each once, as many as the reach
/// says; and how many there are in all.
fn states_of(scene: &Scene<'_>, durability: Durability) -> (Vec<State>, usize) {
    let (base, device) = scene.place("recorded");
    let before = Image::read(&base);
    let disk = Arc::new(SimDisk::new(scene.script()));
    scene.run(&device, disk.clone()).unwrap();
    let trace = disk.trace();
    let steps = trace.lock().unwrap().steps.clone();
    let mut cache = Cache::new(&base, &before, durability);
    let mut seen = HashSet::new();
    let mut states = Vec::new();
    let looked_at: HashSet<usize> = evenly(steps.len() + 1, reach().steps).into_iter().collect();
    for number in 0..=steps.len() {
        if let Some(step) = number.checked_sub(1).and_then(|index| steps.get(index)) {
            cache.apply(step);
        }
        if !looked_at.contains(&number) {
            continue;
        }
        let is_acknowledged = number == steps.len();
        for crash in crashes(&cache, number as u64, reach().mixtures) {
            if seen.insert((crash.image.digest(), is_acknowledged)) {
                let told = format!(
                    "step {number} of {}, {durability:?}: {}",
                    steps.len(),
                    crash.kept
                );
                states.push(State {
                    image: crash.image,
                    is_acknowledged,
                    told,
                });
            }
        }
    }
    let all = states.len();
    let kept: HashSet<usize> = evenly(all, reach().states).into_iter().collect();
    let states = states.into_iter().enumerate();
    let states = states.filter(|(index, _)| kept.contains(index));
    (states.map(|(_, state)| state).collect(), all)
}

/// Returns what a crash at this moment may leave, as much of it as the reach says.
fn some_crashes(cache: &Cache, seed: usize) -> Vec<Crash> {
    let all = crashes(cache, seed as u64, reach().mixtures);
    let kept: HashSet<usize> = evenly(all.len(), reach().crashes).into_iter().collect();
    let all = all.into_iter().enumerate();
    let some = all.filter(|(index, _)| kept.contains(index));
    some.map(|(_, crash)| crash).collect()
}

/// Returns so many moments of `all` as the reach says, spread evenly.
fn moments(all: usize) -> Vec<usize> {
    evenly(all, reach().moments)
}

/// Returns so many of the numbers below `all`, the first and the last among them.
fn evenly(all: usize, wanted: usize) -> Vec<usize> {
    let wanted = wanted.min(all);
    let mut moments: Vec<usize> = (0..wanted)
        .map(|part| part * all.saturating_sub(1) / wanted.saturating_sub(1).max(1))
        .collect();
    moments.dedup();
    moments
}

fn calls_of(scene: &Scene<'_>) -> usize {
    let (_, device) = scene.place("counted");
    let disk = SimDisk::new(scene.script());
    let trace = disk.trace();
    scene.run(&device, Arc::new(disk)).unwrap();
    trace.lock().unwrap().calls.len()
}

/// Two records, a lock, what is written when an opening on trial is counted, and two looks.
const MAX_CALLS: usize = 24;
