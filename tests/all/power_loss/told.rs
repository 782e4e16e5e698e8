//! How a trial ended is told, whatever a power cut leaves of the record and of the outbox.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex};

use diff_core::CancelToken;
use release_format::{Receipted, SignedReceipt};
use satchel_tests::rig::sim::{Cache, Durability, Image, SimDisk, crashes};
use satchel_tests::rig::world::{Device, files_below, remove};
use updater_client::UpdateError;
use updater_client::courier::Courier;
use updater_client::library::disk::Disk;

use super::scene::{Play, Scene, Verb};

#[test]
fn how_a_trial_ended_is_told_whatever_a_power_cut_leaves() {
    let play = Play::new();
    for verb in [Verb::Confirm, Verb::Fail] {
        let scene = Scene::new(&play, verb);
        let (base, device) = scene.place("told");
        is_told(&scene, &base, &device);
        // The record alone knows of it, as where the outbox could not be written.
        let (base, device) = scene.place("told");
        end_trial(&scene, &device, Arc::new(SimDisk::new(scene.script())));
        files_below(&device.layout().outbox())
            .iter()
            .for_each(remove);
        is_told(&scene, &base, &device);
    }
}

/// Ends the trial and tells of it, and does so again after a power cut behind each step on the way.
fn is_told(scene: &Scene<'_>, base: &Path, device: &Device) {
    let before = Image::read(base);
    let disk = SimDisk::new(scene.script());
    let trace = disk.trace();
    let again = || Arc::new(SimDisk::going_on(scene.script(), Arc::clone(&trace)));
    end_trial(scene, device, again());
    let expected = told(device, again());
    assert!(!expected.is_empty());
    let steps = trace.lock().unwrap().steps.clone();
    let mut cache = Cache::new(base, &before, Durability::Weakest);
    let mut seen = HashSet::new();
    for (number, step) in (1..).zip(&steps) {
        cache.apply(step);
        // What is durable must do, without anything that happens to be kept as well.
        let least = crashes(&cache, 0, 0).into_iter().next().unwrap();
        if !seen.insert(least.image.digest()) {
            continue;
        }
        let (_, device) = scene.place_image("told-again", &least.image);
        end_trial(scene, &device, again());
        let told = told(&device, again());
        let all = steps.len();
        assert_eq!(
            told,
            expected,
            "{:?} cut at {number} of {all}",
            scene.verb()
        );
    }
    assert!(seen.len() > 2, "{} states", seen.len());
}

/// Ends the trial, if there is one still.
fn end_trial(scene: &Scene<'_>, device: &Device, disk: Arc<dyn Disk>) {
    let status = device.updater().status(device.pack()).unwrap();
    if status.record.trial().is_some() {
        scene.run(device, disk).unwrap();
    }
}

/// Returns how the trials ended that somebody hears of who acknowledges none.
fn told(device: &Device, disk: Arc<dyn Disk>) -> Vec<&'static str> {
    let ear = Ear::default();
    let updater = device.builder().disk(disk).build().unwrap();
    updater.report(&ear, &CancelToken::new()).unwrap();
    let mut told = ear.0.into_inner().unwrap();
    told.sort_unstable();
    told
}

#[derive(Default)]
struct Ear(Mutex<Vec<&'static str>>);

impl Courier for Ear {
    fn carry(&self, receipts: &[SignedReceipt]) -> Result<Receipted, UpdateError> {
        let outcomes = receipts.iter().map(|one| one.receipt().outcome.name());
        self.0.lock().unwrap().extend(outcomes);
        Ok(Receipted::new())
    }

    fn address(&self) -> String {
        "an ear".to_owned()
    }
}
