//! What an export writes, and what it refuses.

use std::fs;
use std::path::{Path, PathBuf};

use diff_core::CancelToken;
use publisher::{
    ExportOptions, ExportReach, Exported, FolderStorage, KeyStore, PublishError, Quiet, Repository,
};
use release_format::{Label, PackName};

use crate::rig::{Rig, course, lesson, now, options, pack, snapshot};
use crate::watched::Watched;

fn label(text: &str) -> Label {
    Label::parse(text).unwrap()
}

fn export_with(rig: &Rig, to: &Path, reach: ExportReach) -> Result<Exported, PublishError> {
    let options = ExportOptions::new(Vec::new(), reach);
    let cancel = CancelToken::new();
    rig.repository().export(to, &options, &Quiet, &cancel)
}

fn export(rig: &Rig, to: &Path) -> Result<Exported, PublishError> {
    export_with(rig, to, ExportReach::Deltas)
}

fn three_releases() -> (Rig, PathBuf) {
    let rig = Rig::with_release();
    rig.write(&[("index.html", lesson(1, 201))]);
    rig.publish("1.1").unwrap();
    rig.write(&[("index.html", lesson(1, 202))]);
    rig.publish("1.2").unwrap();
    let stick = rig.path().join("stick");
    (rig, stick)
}

fn origins(exported: &Exported) -> Vec<Option<String>> {
    let deltas = exported.packs.iter().flat_map(|pack| &pack.deltas);
    let from = |delta: &publisher::ExportedDelta| delta.from.as_ref().map(ToString::to_string);
    deltas.map(from).collect()
}

#[test]
fn export_has_the_offered_release_and_its_deltas_alone() {
    let (rig, stick) = three_releases();
    let exported = export(&rig, &stick).unwrap();
    assert_eq!(exported.packs[0].releases, [label("1.2")]);
    let expected = [None, Some("1.1".to_owned()), Some("1.0".to_owned())];
    assert_eq!(origins(&exported), expected);
    assert_eq!(exported.packs[0].archive_bytes, 0);
    let files = snapshot(&stick);
    // What storages keep for themselves lies beside it.
    let ours = files.keys().filter(|path| !path.ends_with(".lock")).count() as u64;
    assert_eq!((exported.files, exported.written_files), (ours, ours));
    let there = snapshot(&rig.repository_path());
    for (path, bytes) in files.iter().filter(|(path, _)| !path.ends_with(".lock")) {
        assert_eq!(there.get(path), Some(bytes), "{path:?}");
    }
    let bytes: usize = files.values().map(Vec::len).sum();
    assert_eq!(exported.bytes, bytes as u64);
}

#[test]
fn labels_choose_the_deltas_and_one_without_its_own_brings_those_of_its_way_or_the_one_from_nothing()
 {
    let (rig, stick) = three_releases();
    let from = |labels: &[&str]| {
        let labels = labels.iter().map(|text| label(text)).collect();
        export_with(&rig, &stick, ExportReach::From(labels))
    };
    let exported = from(&["1.1"]).unwrap();
    assert_eq!(origins(&exported), [Some("1.1".to_owned())]);
    assert!(exported.packs[0].without_delta.is_empty());
    let narrow = exported.bytes;
    assert!(narrow < export(&rig, &stick).unwrap().bytes);

    rig.write(&[("index.html", lesson(1, 203))]);
    let mut newest = options("2.0");
    newest.delta_from = publisher::DeltaFrom::Last(1);
    rig.publish_with(&newest).unwrap();
    let exported = from(&["1.0", "1.2"]).unwrap();
    let chain = [Some("1.2".to_owned()), Some("1.0".to_owned())];
    assert_eq!(origins(&exported), chain);
    assert!(exported.packs[0].without_delta.is_empty());

    rig.write(&[("index.html", lesson(1, 204))]);
    let mut newest = options("3.0");
    newest.delta_from = publisher::DeltaFrom::Last(0);
    rig.publish_with(&newest).unwrap();
    let exported = from(&["1.0"]).unwrap();
    assert_eq!(origins(&exported), [None]);
    assert_eq!(exported.packs[0].without_delta, [label("1.0")]);

    match from(&["1.0", "9.9"]) {
        Err(PublishError::UnknownLabel { label, .. }) => assert_eq!(label.as_str(), "9.9"),
        other => panic!("expected a refusal, found {other:?}"),
    }
}

#[test]
fn full_export_has_the_archives_and_an_auditor_accepts_it_where_one_release_is_all() {
    let rig = Rig::with_release();
    let stick = rig.path().join("stick");
    let exported = export_with(&rig, &stick, ExportReach::Full).unwrap();
    assert!(exported.packs[0].archive_bytes > 0);
    let report = publisher::audit(&stick, &publisher::AuditOptions::at(now())).unwrap();
    assert!(report.is_sound(), "{:?}", report.problems);
    assert_eq!(report.unreferenced, [""; 0]);
}

#[test]
fn second_export_writes_only_what_is_new_and_removes_what_is_old() {
    let (rig, stick) = three_releases();
    export(&rig, &stick).unwrap();
    let again = export(&rig, &stick).unwrap();
    assert_eq!((again.written_files, again.removed_files), (0, 0));

    rig.write(&[("index.html", lesson(1, 210))]);
    rig.publish("1.3").unwrap();
    fs::write(stick.join("teacher.txt"), "mine").unwrap();
    let before = snapshot(&stick);
    let exported = export(&rig, &stick).unwrap();
    assert!(exported.written_files > 0 && exported.removed_files > 0);
    let after = snapshot(&stick);
    assert!(after.contains_key(Path::new("teacher.txt")));
    let gone = before
        .keys()
        .filter(|path| !after.contains_key(*path))
        .count() as u64;
    assert_eq!(gone, exported.removed_files);

    // The same as if it had been written at once.
    let other = rig.path().join("other stick");
    export(&rig, &other).unwrap();
    fs::remove_file(stick.join("teacher.txt")).unwrap();
    assert_eq!(snapshot(&stick), snapshot(&other));
}

#[test]
fn damaged_file_of_an_older_export_is_written_again() {
    let (rig, stick) = three_releases();
    export(&rig, &stick).unwrap();
    let sound = snapshot(&stick);
    for path in sound.keys().filter(|path| !path.ends_with(".lock")) {
        let place = stick.join(path);
        let mut bytes = fs::read(&place).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&place, bytes).unwrap();
        let exported = export(&rig, &stick).unwrap();
        assert_eq!(exported.written_files, 1, "{path:?}");
        assert_eq!(snapshot(&stick), sound);
    }
}

#[test]
fn damaged_file_of_the_repository_is_named_and_the_older_export_stays() {
    let (rig, stick) = three_releases();
    export(&rig, &stick).unwrap();
    let carried = snapshot(&stick);
    rig.write(&[("index.html", lesson(1, 210))]);
    rig.publish("1.3").unwrap();
    let fresh = rig.path().join("fresh");
    export(&rig, &fresh).unwrap();
    let timestamp = |files: &std::collections::BTreeMap<PathBuf, Vec<u8>>| {
        files[Path::new("metadata/timestamp.json")].clone()
    };
    for path in snapshot(&fresh)
        .keys()
        .filter(|path| !path.ends_with(".lock"))
    {
        let place = rig.repository_path().join(path);
        let sound = fs::read(&place).unwrap();
        let mut damaged = sound.clone();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 1;
        fs::write(&place, damaged).unwrap();
        let refused = if carried.contains_key(path) && path.starts_with("content") {
            // It is there already, and sound: nothing reads the repository's.
            None
        } else {
            Some(export(&rig, &stick).unwrap_err())
        };
        fs::write(&place, sound).unwrap();
        if let Some(refused) = refused {
            let named = path.to_string_lossy().replace('\\', "/");
            assert!(refused.to_string().contains(&named), "{named}: {refused}");
            assert_eq!(timestamp(&snapshot(&stick)), timestamp(&carried));
        }
    }
}

#[test]
fn absent_file_of_the_repository_is_named() {
    let (rig, stick) = three_releases();
    let catalogue = rig.repository().catalogue(&pack()).unwrap();
    let delta = catalogue.releases[2].deltas[1].content;
    fs::remove_file(rig.repository_path().join(delta.location())).unwrap();
    match export(&rig, &stick) {
        Err(PublishError::Absent { location }) => assert_eq!(location, delta.location()),
        other => panic!("expected a refusal, found {other:?}"),
    }
    assert!(!stick.join("metadata/timestamp.json").exists());
}

#[test]
fn export_onto_a_newer_one_is_refused() {
    let (rig, stick) = three_releases();
    let older = rig.path().join("older");
    for (path, bytes) in snapshot(&rig.repository_path()) {
        let place = older.join(path);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(place, bytes).unwrap();
    }
    rig.write(&[("index.html", lesson(1, 210))]);
    rig.publish("1.3").unwrap();
    export(&rig, &stick).unwrap();
    let before = snapshot(&stick);
    let cancel = CancelToken::new();
    let options = ExportOptions::default();
    let repository = Repository::open(&older).unwrap();
    match repository.export(&stick, &options, &Quiet, &cancel) {
        Err(PublishError::NewerExport {
            role,
            found,
            expected,
            ..
        }) => {
            assert_eq!((role, found), ("timestamp", expected + 1));
        }
        other => panic!("expected a refusal, found {other:?}"),
    }
    assert_eq!(snapshot(&stick), before);
}

#[test]
fn export_onto_that_of_another_repository_is_refused() {
    let (rig, stick) = three_releases();
    export(&rig, &stick).unwrap();
    let before = snapshot(&stick);
    let refused = export(&Rig::with_release(), &stick);
    assert!(matches!(refused, Err(PublishError::OtherRepository { .. })));
    assert_eq!(snapshot(&stick), before);
}

#[test]
fn export_into_the_repository_is_refused() {
    let rig = Rig::with_release();
    for inside in [rig.repository_path(), rig.repository_path().join("stick")] {
        let refused = export(&rig, &inside);
        assert!(
            matches!(refused, Err(PublishError::FolderHolds { .. })),
            "{refused:?}"
        );
    }
}

#[test]
fn export_of_one_pack_has_nothing_of_another_tenant() {
    let rig = Rig::with_release();
    let mut other = options("1.0");
    other.pack = PackName::parse("zenith/chemistry").unwrap();
    rig.write(&[("index.html", lesson(7, 300))]);
    rig.publish_with(&other).unwrap();
    let stick = rig.path().join("stick");
    let options = ExportOptions::new(vec![pack()], ExportReach::Full);
    let cancel = CancelToken::new();
    let repository = rig.repository();
    repository
        .export(&stick, &options, &Quiet, &cancel)
        .unwrap();
    let files = snapshot(&stick);
    let of_zenith = |path: &&PathBuf| path.to_string_lossy().contains("zenith");
    assert_eq!(
        files.keys().filter(of_zenith).count(),
        0,
        "{:?}",
        files.keys()
    );
    let content = |files: &std::collections::BTreeMap<PathBuf, Vec<u8>>| {
        files
            .keys()
            .filter(|path| path.starts_with("content"))
            .count()
    };
    assert!(content(&files) < content(&snapshot(&rig.repository_path())));

    let unknown = PackName::parse("acme/nothing").unwrap();
    let options = ExportOptions::new(vec![unknown], ExportReach::Full);
    let refused = repository.export(&stick, &options, &Quiet, &cancel);
    assert!(matches!(refused, Err(PublishError::UnknownPack { .. })));
}

#[test]
fn longest_names_are_carried_and_told_of() {
    let rig = Rig::new();
    rig.write(&course());
    let long = "a".repeat(64);
    let mut longest = options("1.0");
    longest.pack = PackName::parse(&format!("{long}/{long}")).unwrap();
    longest.channel = release_format::ChannelName::parse(&long).unwrap();
    rig.publish_with(&longest).unwrap();
    let stick = rig.path().join("stick");
    let exported = export(&rig, &stick).unwrap();
    assert_eq!(exported.warnings.len(), 1, "{:?}", exported.warnings);
    // What FAT32 takes: names of at most 255 characters, none that differ by case alone.
    for path in snapshot(&stick).keys() {
        for name in path.components() {
            let name = name.as_os_str().to_str().unwrap();
            assert!(name.len() <= 255 && name == name.to_lowercase(), "{name}");
        }
    }
}

#[test]
fn too_little_room_is_told_before_the_first_byte() {
    let (rig, stick) = three_releases();
    let small = |room| Watched {
        room: Some(room),
        ..Watched::new(FolderStorage::removable(&stick))
    };
    let cancel = CancelToken::new();
    let export = |room| {
        let options = ExportOptions::default();
        rig.repository()
            .export_in(&small(room), &options, &Quiet, &cancel)
    };
    let needed = match export(1000) {
        Err(PublishError::NoSpace {
            needed,
            available: 1000,
            ..
        }) => needed,
        other => panic!("expected a refusal, found {other:?}"),
    };
    assert!(snapshot(&stick).keys().all(|path| path.ends_with(".lock")));
    assert!(matches!(
        export(needed - 1),
        Err(PublishError::NoSpace { .. })
    ));
    let exported = export(needed).unwrap();
    assert!(needed >= exported.bytes && needed <= exported.bytes + exported.files * (32 << 10));
    // Nothing to write needs no room.
    assert_eq!(export(0).unwrap().written_files, 0);
}

#[test]
fn export_goes_on_when_the_keys_have_changed() {
    let (rig, stick) = three_releases();
    export(&rig, &stick).unwrap();
    let keys: KeyStore = rig.keys();
    let report = rig.repository().role_reports().unwrap();
    let old = report
        .iter()
        .find(|report| report.role == "timestamp")
        .unwrap();
    let new = keys.generate("timestamp-2").unwrap();
    let change = publisher::TrustChange {
        add: vec![(
            "timestamp".to_owned(),
            release_format::Signer::public_key(&new).clone(),
        )],
        remove: vec![("timestamp".to_owned(), old.keys.keyids[0].to_string())],
        ..publisher::TrustChange::default()
    };
    rig.repository()
        .change_trust(&change, &keys, now())
        .unwrap();
    export(&rig, &stick).unwrap();
    assert!(stick.join("metadata/2.root.json").exists());
    let other = rig.path().join("other");
    export(&rig, &other).unwrap();
    assert_eq!(snapshot(&stick), snapshot(&other));
}
