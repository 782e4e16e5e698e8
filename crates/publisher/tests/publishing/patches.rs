//! What leads from older metadata and catalogues to those of now.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use diff_core::CancelToken;
use publisher::{ExportOptions, ExportReach, FolderStorage, PruneOptions, Quiet};

use crate::rig::{Rig, lesson, now, options, snapshot};
use crate::watched::Watched;

const PATCHES: &str = "metadata/patches";

/// Publishes releases `first` to `last`.
fn publish(rig: &Rig, first: u32, last: u32) {
    for number in first..=last {
        rig.write(&[("unit 3/news.html", lesson(100 + number, 20))]);
        rig.publish(&format!("2.{number}")).unwrap();
    }
}

fn patches_in(folder: &Path) -> BTreeSet<String> {
    let files = snapshot(&folder.join(PATCHES)).into_keys();
    files.map(|path| path.display().to_string()).collect()
}

/// Returns the patches that lead to the catalogue of now.
fn to_the_catalogue(rig: &Rig, patches: &BTreeSet<String>) -> Vec<String> {
    let targets = rig.repository_path().join("targets/acme/biology-101");
    let mut newest = fs::read_dir(targets)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_file())
        .collect::<Vec<_>>();
    // Catalogues only grow here.
    newest.sort_by_key(|entry| entry.metadata().unwrap().len());
    let name = newest.last().unwrap().file_name();
    let digest = name.to_str().unwrap().split('.').next().unwrap().to_owned();
    let leads = |name: &&String| name.starts_with(&digest);
    patches.iter().filter(leads).cloned().collect()
}

#[test]
fn a_catalogue_has_patches_from_the_last_eight_and_from_nothing() {
    let rig = Rig::with_release();
    publish(&rig, 1, 10);
    let patches = patches_in(&rig.repository_path());
    assert_eq!(to_the_catalogue(&rig, &patches).len(), 9);
    let report = rig.audit();
    assert!(report.is_sound(), "{:?}", report.problems);
}

#[test]
fn pruning_keeps_the_patches_that_are_listed_and_no_others() {
    let rig = Rig::with_release();
    publish(&rig, 1, 3);
    let before = patches_in(&rig.repository_path());
    let wanted = to_the_catalogue(&rig, &before);
    let mut options = PruneOptions::at(now());
    options.now_too = true;
    rig.repository().prune(&rig.keys(), &options).unwrap();
    let after = patches_in(&rig.repository_path());
    assert!(after.len() < before.len() && after.is_subset(&before));
    assert!(wanted.iter().all(|patch| after.contains(patch)));
    let report = rig.audit();
    assert!(report.is_sound(), "{:?}", report.problems);
    assert_eq!(report.unreferenced, [""; 0]);
    // Patches can start only from what is still there.
    publish(&rig, 4, 4);
    let patches = patches_in(&rig.repository_path());
    assert_eq!(to_the_catalogue(&rig, &patches).len(), 2);
    assert!(rig.audit().is_sound());
}

#[test]
fn a_patch_that_is_gone_or_leads_elsewhere_is_found() {
    for harm in ["gone", "cut", "flipped"] {
        let rig = Rig::with_release();
        publish(&rig, 1, 2);
        for name in to_the_catalogue(&rig, &patches_in(&rig.repository_path())) {
            let path = rig.repository_path().join(PATCHES).join(&name);
            let bytes = fs::read(&path).unwrap();
            let mut harmed = bytes.clone();
            let middle = bytes.len() / 2;
            match harm {
                "gone" => fs::remove_file(&path).unwrap(),
                "cut" => fs::write(&path, &bytes[..middle]).unwrap(),
                _ => {
                    harmed[middle] ^= 4;
                    fs::write(&path, harmed).unwrap();
                }
            }
            let report = rig.audit();
            let place = format!("{PATCHES}/{name}");
            let found = report.problems.iter().any(|of| of.location == place);
            assert!(found, "{harm}: {:?}", report.problems);
            fs::write(&path, bytes).unwrap();
            assert!(rig.audit().is_sound());
        }
    }
}

#[test]
fn a_stick_has_no_patches_and_a_full_export_has_all_that_are_listed() {
    let rig = Rig::with_release();
    publish(&rig, 1, 2);
    let mut options = PruneOptions::at(now());
    options.now_too = true;
    rig.repository().prune(&rig.keys(), &options).unwrap();
    for (reach, carries) in [(ExportReach::Deltas, false), (ExportReach::Full, true)] {
        let to = rig.path().join(format!("to {carries}"));
        let options = ExportOptions::new(Vec::new(), reach);
        let cancel = CancelToken::new();
        rig.repository()
            .export(&to, &options, &Quiet, &cancel)
            .unwrap();
        let there = to.join(PATCHES).exists().then(|| patches_in(&to));
        let listed = carries.then(|| patches_in(&rig.repository_path()));
        assert_eq!(there, listed);
    }
}

#[test]
fn a_publication_lists_each_folder_once_however_many_releases_there_are() {
    let rig = Rig::with_release();
    publish(&rig, 1, 5);
    let folders: Arc<Mutex<Vec<String>>> = Arc::default();
    let heard = Arc::clone(&folders);
    let listing = move |prefix: &str| {
        let folder = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
        heard.lock().unwrap().push(folder.to_owned());
    };
    let storage = Watched {
        listing: Box::new(listing),
        ..Watched::new(FolderStorage::new(rig.repository_path()))
    };
    let repository = storage.repository();
    rig.write(&[("unit 3/news.html", lesson(99, 20))]);
    let (course, keys) = (rig.course_path(), rig.keys());
    repository
        .publish(&course, &keys, &options("3.0"), &Quiet, &CancelToken::new())
        .unwrap();
    let mut listed = folders.lock().unwrap().clone();
    listed.sort();
    let mut once = listed.clone();
    once.dedup();
    assert!(listed.contains(&"targets/acme/biology-101".to_owned()));
    assert_eq!(listed, once);
    let patches = patches_in(&rig.repository_path());
    assert_eq!(to_the_catalogue(&rig, &patches).len(), 7);
}
