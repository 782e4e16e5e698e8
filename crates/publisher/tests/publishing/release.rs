//! Rules of a release.

use std::fs;

use diff_core::CancelToken;
use publisher::{DeltaFrom, KeyStore, Outcome, PublishError, Quiet, Repository};
use release_format::{CatalogueRelease, ChannelName, Label, Share};

use crate::rig::{Rig, course, lesson, now, options, pack, snapshot};

#[test]
fn course_is_published_and_an_auditor_accepts_it() {
    let rig = Rig::new();
    rig.write(&course());
    let published = rig.publish("1.0").unwrap();
    assert_eq!(published.outcome, Outcome::New);
    assert_eq!((published.sequence, published.files), (1, 5));
    assert!(published.delegated);
    assert_eq!(published.deltas.len(), 1);
    let report = rig.audit();
    assert!(report.is_sound(), "{:?}", report.problems);
    assert_eq!(rig.repository().packs().unwrap(), [pack()]);
}

#[test]
fn next_release_brings_deltas_and_a_rollout() {
    let rig = Rig::with_release();
    rig.write(&[("index.html", lesson(1, 201))]);
    let mut options = options("1.1");
    options.share = Share::parse("5%").unwrap();
    let published = rig.publish_with(&options).unwrap();
    let [nothing, delta] = &published.deltas[..] else {
        panic!("expected two deltas, found {:?}", published.deltas);
    };
    assert_eq!(delta.from, Some(Label::parse("1.0").unwrap()));
    assert!(
        delta.is_published && delta.bytes < nothing.bytes / 20,
        "{delta:?}"
    );
    assert!(!published.delegated);
    assert_eq!(rig.labels(), ["1.0", "1.1"]);
    let rollouts = rig.repository().rollouts(&pack()).unwrap();
    let [rollout] = &rollouts[..] else {
        panic!("expected one rollout, found {rollouts:?}");
    };
    assert_eq!(rollout.release, published.manifest);
    assert_eq!(rollout.share, Share::parse("5%").unwrap());
    let report = rig.audit();
    assert!(report.is_sound(), "{:?}", report.problems);
}

#[test]
fn label_is_never_given_twice() {
    let rig = Rig::with_release();
    let before = snapshot(&rig.repository_path());
    rig.write(&[("index.html", b"other".to_vec())]);
    match rig.publish("1.0") {
        Err(PublishError::LabelExists {
            label, sequence, ..
        }) => {
            assert_eq!((label.as_str(), sequence), ("1.0", 1));
        }
        other => panic!("expected a refusal, found {other:?}"),
    }
    assert_eq!(snapshot(&rig.repository_path()), before);
}

#[test]
fn identical_content_changes_nothing() {
    let rig = Rig::with_release();
    let before = snapshot(&rig.repository_path());
    let published = rig.publish("1.1").unwrap();
    assert_eq!(published.outcome, Outcome::Unchanged);
    assert_eq!(published.content_version.label.as_str(), "1.0");
    assert_eq!(snapshot(&rig.repository_path()), before);
}

#[test]
fn channel_that_does_not_offer_unchanged_content_is_warned_of() {
    let rig = Rig::with_release();
    let before = snapshot(&rig.repository_path());
    assert!(rig.publish("1.1").unwrap().warnings.is_empty());
    let mut options = options("1.1");
    options.channel = ChannelName::parse("beta").unwrap();
    let published = rig.publish_with(&options).unwrap();
    assert_eq!(published.outcome, Outcome::Unchanged);
    assert_eq!(published.warnings.len(), 1);
    assert_eq!(snapshot(&rig.repository_path()), before);
}

#[test]
fn same_input_gives_the_same_bytes() {
    let rig = Rig::with_release();
    rig.write(&[("index.html", lesson(1, 210)), ("new.html", lesson(9, 3))]);
    rig.publish("1.1").unwrap();

    let twin = Rig::new();
    fs::remove_dir_all(twin.repository_path()).unwrap();
    let keys = KeyStore::folder(rig.path().join("keys"));
    Repository::init(twin.repository_path(), &keys, now()).unwrap();
    for (label, files) in [
        ("1.0", course()),
        (
            "1.1",
            vec![("index.html", lesson(1, 210)), ("new.html", lesson(9, 3))],
        ),
    ] {
        twin.write(&files);
        let (course, cancel) = (twin.course_path(), CancelToken::new());
        twin.repository()
            .publish(&course, &keys, &options(label), &Quiet, &cancel)
            .unwrap();
    }
    assert_eq!(
        snapshot(&twin.repository_path()),
        snapshot(&rig.repository_path())
    );
}

#[test]
fn deltas_come_from_the_last_four_releases_unless_told() {
    let rig = Rig::with_release();
    for n in 1..=5 {
        rig.write(&[("index.html", lesson(1, 200 + n))]);
        rig.publish(&format!("1.{n}")).unwrap();
    }
    rig.write(&[("index.html", lesson(1, 250))]);
    let published = rig.publish("2.0").unwrap();
    let from: Vec<_> = published.deltas.iter().map(|delta| &delta.from).collect();
    let label = |text| Some(Label::parse(text).unwrap());
    let expected = [None, label("1.5"), label("1.4"), label("1.3"), label("1.2")];
    assert_eq!(from, expected.iter().collect::<Vec<_>>());

    rig.write(&[("index.html", lesson(1, 260))]);
    let mut options = options("2.1");
    options.delta_from = DeltaFrom::Labels(vec![Label::parse("1.0").unwrap()]);
    let published = rig.publish_with(&options).unwrap();
    assert_eq!(published.deltas.len(), 2);
    assert_eq!(published.deltas[1].from, label("1.0"));
    let report = rig.audit();
    assert!(report.is_sound(), "{:?}", report.problems);
}

#[test]
fn first_installs_are_kept_for_what_is_offered_and_for_the_release_before_the_newest() {
    let rig = Rig::with_release();
    let mut options = options("1.1");
    options.channel = ChannelName::parse("beta").unwrap();
    rig.write(&[("index.html", lesson(1, 201))]);
    rig.publish_with(&options).unwrap();
    for n in 2..=5 {
        rig.write(&[("index.html", lesson(1, 200 + n))]);
        rig.publish(&format!("1.{n}")).unwrap();
    }
    // 1.1 is what the other channel offers.
    let begins = |release: &CatalogueRelease| release.deltas.iter().any(|d| d.from.is_none());
    let catalogue = rig.repository().catalogue(&pack()).unwrap();
    let kept: Vec<_> = catalogue.releases.iter().filter(|r| begins(r)).collect();
    let labels: Vec<_> = kept.iter().map(|release| release.label.as_str()).collect();
    assert_eq!(labels, ["1.1", "1.4", "1.5"]);
    let report = rig.audit();
    assert!(report.is_sound(), "{:?}", report.problems);
}

#[test]
fn deltas_that_are_on_nobodys_way_are_dropped_once_two_newer_releases_stand_there() {
    let rig = Rig::with_release();
    let mut before = vec![Label::parse("1.0").unwrap()];
    for n in 1..=3 {
        let mut options = options(&format!("1.{n}"));
        options.delta_from = DeltaFrom::Labels(before.clone());
        rig.write(&[("index.html", lesson(1, 200 + n))]);
        rig.publish_with(&options).unwrap();
        before.push(options.label);
    }
    let catalogue = rig.repository().catalogue(&pack()).unwrap();
    let releases = catalogue.releases.iter();
    let deltas: Vec<usize> = releases.map(|release| release.deltas.len()).collect();
    // From nothing and 1.0 to 1.1; whoever has 1.0 takes the one from there to 1.3.
    assert_eq!(deltas, [0, 0, 3, 4]);
    let report = rig.audit();
    assert!(report.is_sound(), "{:?}", report.problems);
}

#[test]
fn notes_lie_beside_the_release() {
    let rig = Rig::new();
    rig.write(&course());
    let notes = rig.path().join("notes.md");
    fs::write(&notes, "Unit 2 is new.").unwrap();
    let mut options = options("1.0");
    options.notes = Some(notes);
    rig.publish_with(&options).unwrap();
    let catalogue = rig.repository().catalogue(&pack()).unwrap();
    let location = catalogue.releases[0].notes.unwrap().location();
    let bytes = rig.repository().storage().get(&location).unwrap().unwrap();
    assert_eq!(*bytes, *b"Unit 2 is new.");
    assert!(rig.audit().is_sound());
}

// Windows makes no file called `aux`, and takes `Index.html` for `index.html`.
#[test]
#[cfg(not(windows))]
fn folder_that_cannot_be_installed_everywhere_is_refused() {
    let rig = Rig::with_release();
    let before = snapshot(&rig.repository_path());
    rig.write(&[("aux", Vec::new()), ("Index.html", Vec::new())]);
    match rig.publish("1.1") {
        Err(PublishError::Unportable { problems }) => assert_eq!(problems.len(), 2),
        other => panic!("expected a refusal, found {other:?}"),
    }
    assert_eq!(snapshot(&rig.repository_path()), before);
}

/// Fails unless the course is refused for this one path and rule, and the repository stays as it is.
#[cfg(not(windows))]
#[track_caller]
fn refused_for(rig: &Rig, path: &str, code: &str) {
    let before = snapshot(&rig.repository_path());
    match rig.publish("1.1") {
        Err(PublishError::Unportable { problems }) => {
            let found: Vec<_> = problems
                .iter()
                .map(|p| (p.path.as_str(), p.rule.code()))
                .collect();
            assert_eq!(found, [(path, code)]);
        }
        other => panic!("expected a refusal, found {other:?}"),
    }
    assert_eq!(snapshot(&rig.repository_path()), before);
}

#[test]
#[cfg(unix)]
fn course_with_a_symlink_is_refused() {
    let rig = Rig::with_release();
    std::os::unix::fs::symlink("/etc/hostname", rig.course_path().join("host.txt")).unwrap();
    refused_for(&rig, "host.txt", "symlink");
}

// Windows makes no file of such a name, but for its newest versions.
#[test]
#[cfg(not(windows))]
fn course_with_a_name_that_windows_reserves_is_refused() {
    let rig = Rig::with_release();
    rig.write(&[("unit/com1.html", b"lesson".to_vec())]);
    refused_for(&rig, "unit/com1.html", "reserved-name");
}

#[test]
#[cfg(unix)]
fn course_with_a_trailing_dot_is_refused() {
    let rig = Rig::with_release();
    rig.write(&[("unit/lesson.", b"lesson".to_vec())]);
    refused_for(&rig, "unit/lesson.", "trailing-dot-or-space");
}

#[test]
#[cfg(target_os = "linux")]
fn course_with_two_names_that_differ_by_case_is_refused() {
    let rig = Rig::with_release();
    rig.write(&[
        ("unit/Lesson.html", b"a".to_vec()),
        ("unit/lesson.html", b"b".to_vec()),
    ]);
    refused_for(&rig, "unit/lesson.html", "collision");
}

#[test]
fn folder_that_holds_the_keys_is_refused() {
    let rig = Rig::with_release();
    let keys = KeyStore::folder(rig.path().join("keys"));
    let cancel = CancelToken::new();
    let refused = rig
        .repository()
        .publish(rig.path(), &keys, &options("1.1"), &Quiet, &cancel);
    assert!(matches!(refused, Err(PublishError::FolderHolds { .. })));
}

#[test]
fn keys_are_not_made_inside_the_repository() {
    let folder = tempfile::tempdir().unwrap();
    let repository = folder.path().join("repository");
    let keys = KeyStore::folder(repository.join("keys"));
    let refused = Repository::init(&repository, &keys, now());
    assert!(matches!(refused, Err(PublishError::FolderHolds { .. })));
    assert!(!repository.exists());
}

#[test]
#[cfg(unix)]
fn keys_are_not_made_inside_a_repository_that_a_link_leads_to() {
    let folder = tempfile::tempdir().unwrap();
    let [repository, link] = ["repository", "link"].map(|name| folder.path().join(name));
    std::fs::create_dir(&repository).unwrap();
    std::os::unix::fs::symlink(&repository, &link).unwrap();
    let keys = KeyStore::folder(link.join("keys"));
    let refused = Repository::init(&repository, &keys, now());
    assert!(matches!(refused, Err(PublishError::FolderHolds { .. })));
    assert!(!keys.path().exists());
}

#[test]
fn cancelled_publish_changes_nothing() {
    let rig = Rig::with_release();
    rig.write(&[("index.html", b"other".to_vec())]);
    let before = snapshot(&rig.repository_path());
    let cancel = CancelToken::new();
    cancel.cancel();
    let (course, keys) = (rig.course_path(), rig.keys());
    let stopped = rig
        .repository()
        .publish(&course, &keys, &options("1.1"), &Quiet, &cancel);
    assert!(matches!(stopped, Err(PublishError::Cancelled)));
    assert_eq!(snapshot(&rig.repository_path()), before);
}

#[test]
fn repository_is_made_once_and_opened_only_where_it_is() {
    let rig = Rig::new();
    let again = Repository::init(rig.repository_path(), &rig.keys(), now());
    assert!(matches!(again, Err(PublishError::RepositoryExists { .. })));
    let absent = Repository::open(rig.path().join("elsewhere"));
    assert!(matches!(absent, Err(PublishError::NotARepository { .. })));
}
