//! Every kind of trouble at every call of every verb: told with its cause and place, nothing lost, and
//! the same again without the trouble ends well, and durably.

use std::io;
use std::sync::Arc;

use satchel_tests::rig::sim::{Cache, Durability, Image, Script, SimDisk, Trouble, least};
use updater_client::UpdateError;

use super::judge::{Judge, Tried};
use super::scene::{Play, Scene, Verb};
use super::{calls_of, evenly, reach};

const EINTR: i32 = 4;
const EIO: i32 = 5;
pub(super) const EACCES: i32 = 13;
const ENOSPC: i32 = 28;
const EROFS: i32 = 30;

/// What a disk does, and whether it does so for good.
const TROUBLES: [(Trouble, bool); 10] = [
    (Trouble::Errno(ENOSPC), false),
    (Trouble::Errno(ENOSPC), true),
    (Trouble::Errno(EIO), false),
    (Trouble::Errno(EIO), true),
    (Trouble::Errno(EACCES), false),
    (Trouble::Errno(EACCES), true),
    (Trouble::Errno(EROFS), true),
    (Trouble::Errno(EINTR), false),
    (Trouble::Short, false),
    (Trouble::Short, true),
];

#[test]
fn enrolling_tells_every_trouble_and_loses_nothing() {
    meet_at_every_call(Verb::Enroll);
}

#[test]
fn a_first_install_tells_every_trouble_and_loses_nothing() {
    meet_at_every_call(Verb::Install);
}

#[test]
fn an_update_by_delta_tells_every_trouble_and_loses_nothing() {
    meet_at_every_call(Verb::Update);
}

#[test]
fn an_update_without_links_tells_every_trouble_and_loses_nothing() {
    meet_at_every_call(Verb::UpdateByCopies);
}

#[test]
fn an_update_by_a_full_download_tells_every_trouble_and_loses_nothing() {
    meet_at_every_call(Verb::UpdateInFull);
}

#[test]
fn an_update_of_what_was_staged_tells_every_trouble_and_loses_nothing() {
    meet_at_every_call(Verb::SwitchToStaged);
}

#[test]
fn staging_tells_every_trouble_and_loses_nothing() {
    meet_at_every_call(Verb::StageOnly);
}

#[test]
fn an_update_that_drops_a_release_tells_every_trouble_and_loses_nothing() {
    meet_at_every_call(Verb::UpdateAndDrop);
}

#[test]
fn confirming_tells_every_trouble_and_loses_nothing() {
    meet_at_every_call(Verb::Confirm);
}

#[test]
fn failing_tells_every_trouble_and_loses_nothing() {
    meet_at_every_call(Verb::Fail);
}

#[test]
fn reverting_tells_every_trouble_and_loses_nothing() {
    meet_at_every_call(Verb::Revert);
}

#[test]
fn opening_on_trial_tells_every_trouble_and_loses_nothing() {
    meet_at_every_call(Verb::Open);
}

#[test]
fn the_last_opening_tells_every_trouble_and_loses_nothing() {
    meet_at_every_call(Verb::OpenTooOften);
}

#[test]
fn holding_tells_every_trouble_and_loses_nothing() {
    meet_at_every_call(Verb::Hold);
}

#[test]
fn pinning_tells_every_trouble_and_loses_nothing() {
    meet_at_every_call(Verb::Pin);
}

#[test]
fn pruning_tells_every_trouble_and_loses_nothing() {
    meet_at_every_call(Verb::Prune);
}

#[test]
fn healing_files_tells_every_trouble_and_loses_nothing() {
    meet_at_every_call(Verb::Heal);
}

#[test]
fn healing_a_record_tells_every_trouble_and_loses_nothing() {
    meet_at_every_call(Verb::HealRecord);
}

#[test]
fn reporting_tells_every_trouble_and_loses_nothing() {
    meet_at_every_call(Verb::Report);
}

fn meet_at_every_call(verb: Verb) {
    let play = Play::new();
    let scene = Scene::new(&play, verb);
    let judge = Judge::new(&scene);
    let judge_of_full = Judge::new(&scene).of_a_full_disk();
    let calls = calls_of(&scene);
    for (number, (trouble, for_good)) in TROUBLES.into_iter().enumerate() {
        let mut tried = Tried::default();
        let met = evenly(calls, reach().troubled);
        for at in &met {
            // Of a slice, each trouble takes other calls.
            let at = (at + number * calls / TROUBLES.len()) % calls;
            let script = Script {
                at: Some(at),
                trouble,
                for_good,
                ..scene.script()
            };
            let judge = match trouble {
                Trouble::Errno(ENOSPC) => &judge_of_full,
                _ => &judge,
            };
            meet(&scene, judge, script, &mut tried);
        }
        tried.report(&format!(
            "{verb:?}, {trouble:?}, for good: {for_good}, at {} calls",
            met.len()
        ));
    }
}

fn meet(scene: &Scene<'_>, judge: &Judge<'_>, script: Script, tried: &mut Tried) {
    let (base, device) = scene.place("troubled");
    let before = Image::read(&base);
    let disk = SimDisk::new(script);
    let trace = disk.trace();
    let outcome = scene.run(&device, Arc::new(disk));
    let told = format!("{:?} with {script:?}: {outcome:?}", scene.verb());
    let shape = judge.shape(&device);
    match &outcome {
        // What could not be read is healed, too.
        Ok(()) if scene.verb() == Verb::HealRecord => {
            let expected = Judge::whichever_tree(judge.new_shape());
            assert_eq!(Judge::whichever_tree(shape), expected, "{told}");
        }
        Ok(()) => assert_eq!(shape, judge.new_shape(), "{told}"),
        Err(failed) => {
            let accepted = Judge::between(&judge.old_shape(), &judge.new_shape());
            assert!(accepted.contains(&shape), "{told}");
            let troubled = trace.lock().unwrap();
            let mut troubled = troubled.calls.iter().filter(|call| call.failure.is_some());
            let text = failed.to_string();
            let is_placed = troubled.any(|call| text.contains(&call.path.display().to_string()));
            assert!(is_placed, "no place: {text}; {told}");
            is_named(failed, script.trouble, &told);
        }
    }
    // The same again, and an update: what failed before is not believed to be durable.
    let again = || Arc::new(SimDisk::going_on(scene.script(), Arc::clone(&trace)));
    let _ = scene.run(&device, again());
    scene.then_update(&device, again()).unwrap();
    let now = judge.shape(&device);
    let steps = trace.lock().unwrap().steps.clone();
    let mut cache = Cache::new(&base, &before, Durability::Weakest);
    steps.iter().for_each(|step| cache.apply(step));
    judge.try_state(&least(&cache), &[now], told, tried);
}

/// Whether the error says what the system said, under the code that stands for it.
fn is_named(failed: &UpdateError, trouble: Trouble, told: &str) {
    let Trouble::Errno(errno) = trouble else {
        panic!("short writes are gone on from: {told}");
    };
    let cause = io::Error::from_raw_os_error(errno).to_string();
    assert!(failed.to_string().contains(&cause), "no cause: {told}");
    let code = match errno {
        ENOSPC => "disk-full",
        EACCES | EROFS => "not-permitted",
        _ => "disk-failed",
    };
    assert_eq!(failed.code(), code, "{told}");
}
