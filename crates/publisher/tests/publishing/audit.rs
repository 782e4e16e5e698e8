//! What an audit notices.

use std::fs;
use std::path::{Path, PathBuf};

use publisher::{AuditOptions, audit};

use crate::rig::{Rig, lesson, now};

fn two_releases() -> Rig {
    let rig = Rig::with_release();
    rig.write(&[("index.html", lesson(1, 201))]);
    rig.publish("1.1").unwrap();
    rig
}

fn files(folder: &Path) -> Vec<PathBuf> {
    crate::rig::snapshot(folder).into_keys().collect()
}

#[test]
fn flipped_bit_in_any_file_that_counts_is_found() {
    let rig = two_releases();
    let repository = rig.repository_path();
    let unreferenced = rig.audit().unreferenced;
    for path in files(&repository) {
        let location = path.to_string_lossy().replace('\\', "/");
        if location == ".lock" || unreferenced.contains(&location) {
            continue;
        }
        let place = repository.join(&path);
        let bytes = fs::read(&place).unwrap();
        for at in [0, bytes.len() / 2, bytes.len() - 1] {
            let mut damaged = bytes.clone();
            damaged[at] ^= 4;
            fs::write(&place, &damaged).unwrap();
            let report = audit(&repository, &AuditOptions::at(now())).unwrap();
            assert!(!report.is_sound(), "byte {at} of {location} went unnoticed");
        }
        fs::write(&place, &bytes).unwrap();
    }
    assert!(rig.audit().is_sound());
}

#[test]
fn missing_file_is_named() {
    let rig = two_releases();
    let repository = rig.repository_path();
    let referred = rig.audit();
    assert!(referred.is_sound());
    let content = files(&repository)
        .into_iter()
        .map(|path| path.to_string_lossy().replace('\\', "/"))
        .filter(|path| path.starts_with("content") && !referred.unreferenced.contains(path));
    // Manifests, chunk maps, archives, deltas and documents.
    for location in content.collect::<Vec<_>>() {
        let place = repository.join(&location);
        let bytes = fs::read(&place).unwrap();
        fs::remove_file(&place).unwrap();
        let report = rig.audit();
        let problem = &report.problems[0];
        assert_eq!((&*problem.location, &*problem.found), (&*location, "none"));
        fs::write(&place, bytes).unwrap();
    }
}

#[test]
fn file_that_nothing_refers_to_is_no_problem() {
    let rig = two_releases();
    let stray = rig.repository_path().join("content/aa");
    fs::create_dir_all(&stray).unwrap();
    fs::write(stray.join("stray"), b"").unwrap();
    let report = rig.audit();
    assert!(report.is_sound(), "{:?}", report.problems);
    assert!(report.unreferenced.contains(&"content/aa/stray".to_owned()));
}

#[test]
fn expired_metadata_is_a_problem() {
    let rig = two_releases();
    let options = AuditOptions::at(now().plus_days(8));
    let report = audit(&rig.repository_path(), &options).unwrap();
    assert_eq!(report.problems.len(), 1, "{:?}", report.problems);
}

#[test]
fn root_that_devices_pinned_is_what_counts() {
    let rig = two_releases();
    let root = |rig: &Rig| fs::read(rig.repository_path().join("metadata/1.root.json")).unwrap();
    let mut options = AuditOptions::at(now());
    options.against = Some(root(&rig));
    assert!(audit(&rig.repository_path(), &options).unwrap().is_sound());
    options.against = Some(root(&Rig::new()));
    assert!(!audit(&rig.repository_path(), &options).unwrap().is_sound());
}

#[test]
fn folder_without_a_repository_is_a_problem() {
    let folder = tempfile::tempdir().unwrap();
    let report = audit(folder.path(), &AuditOptions::at(now())).unwrap();
    assert!(!report.is_sound());
}
