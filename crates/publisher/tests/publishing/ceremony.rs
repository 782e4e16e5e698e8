//! Changes of keys, from their proposal to the devices that follow.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use publisher::{
    AuditOptions, Governed, KeyStore, Proposal, PublishError, Repository, TrustChange, audit,
};
use release_format::{Signer, TenantName};

use crate::rig::{Rig, lesson, now, options};
use crate::watched::Watched;

/// The keys of people who keep them apart.
pub(crate) struct Holders<'a> {
    rig: &'a Rig,
}

impl Holders<'_> {
    pub(crate) fn of(rig: &Rig) -> Holders<'_> {
        Holders { rig }
    }

    /// Returns the keys of one of them, made at the first time.
    pub(crate) fn keys(&self, name: &str) -> KeyStore {
        let store = KeyStore::folder(self.rig.path().join("holders").join(name));
        store.load_or_generate(name).unwrap();
        store
    }

    pub(crate) fn public(&self, name: &str) -> release_format::PublicKey {
        self.keys(name).load(name).unwrap().public_key().clone()
    }

    pub(crate) fn id(&self, name: &str) -> String {
        self.public(name).id().unwrap().to_string()
    }

    /// Returns the proposal as it comes back from one who was handed the file.
    pub(crate) fn signed_by(&self, name: &str, proposal: &Proposal) -> Proposal {
        let mut copy = Proposal::parse(name, &proposal.encode()).unwrap();
        assert_eq!(copy.sign_with(&self.keys(name)).unwrap(), 1, "{name}");
        Proposal::parse(name, &copy.encode()).unwrap()
    }
}

/// The change that hands the root to three people, any two of whom are enough.
pub(crate) fn three_holders(holders: &Holders<'_>) -> TrustChange {
    let init = holders.rig.keys().load("root").unwrap();
    let root = || "root".to_owned();
    TrustChange {
        add: ["alice", "bob", "carol"]
            .map(|name| (root(), holders.public(name)))
            .to_vec(),
        remove: vec![(root(), init.public_key().id().unwrap().to_string())],
        thresholds: vec![(root(), 2)],
        ..TrustChange::default()
    }
}

/// A repository with a release whose root three people hold.
pub(crate) fn held_by_three() -> Rig {
    let rig = Rig::with_release();
    let holders = Holders::of(&rig);
    let mut proposal = rig
        .repository()
        .propose(&three_holders(&holders), now())
        .unwrap();
    proposal.sign_with(&rig.keys()).unwrap();
    for name in ["alice", "bob"] {
        proposal.sign_with(&holders.keys(name)).unwrap();
    }
    publish(&rig, &proposal).unwrap();
    rig
}

pub(crate) fn publish(rig: &Rig, proposal: &Proposal) -> Result<Governed, PublishError> {
    rig.repository()
        .publish_proposal(proposal, &rig.keys(), now())
}

#[track_caller]
fn assert_sound(rig: &Rig) {
    let report = rig.audit();
    assert!(report.is_sound(), "{:?}", report.problems);
}

fn replaced(rig: &Rig, holders: &Holders<'_>, role: &str, new: &str) -> TrustChange {
    let reports = rig.repository().role_reports().unwrap();
    let report = reports.iter().find(|report| report.role == role).unwrap();
    TrustChange {
        add: vec![(role.to_owned(), holders.public(new))],
        remove: report
            .keys
            .keyids
            .iter()
            .map(|id| (role.to_owned(), id.to_string()))
            .collect(),
        ..TrustChange::default()
    }
}

#[test]
fn root_goes_from_hand_to_hand_as_one_file_and_comes_together() {
    let rig = Rig::with_release();
    let holders = Holders::of(&rig);
    let proposed = rig
        .repository()
        .propose(&three_holders(&holders), now())
        .unwrap();
    let mut all = Proposal::parse("all", &proposed.encode()).unwrap();
    all.sign_with(&rig.keys()).unwrap();
    for name in ["alice", "carol"] {
        let copy = holders.signed_by(name, &proposed);
        all.merge(&copy).unwrap();
    }
    assert_eq!(all.shortfalls(), []);
    let governed = publish(&rig, &all).unwrap();
    assert_eq!(governed.root, 2);
    assert_eq!(governed.files, [("root".to_owned(), 2)]);
    assert_sound(&rig);
    rig.write(&[("index.html", lesson(1, 201))]);
    rig.publish("1.1").unwrap();
    assert_sound(&rig);
}

#[test]
fn holder_reads_in_plain_words_what_changes() {
    let rig = Rig::with_release();
    let holders = Holders::of(&rig);
    let proposal = rig
        .repository()
        .propose(&three_holders(&holders), now())
        .unwrap();
    let short = |id: String| id.chars().take(16).collect::<String>();
    let init = rig.keys().load("root").unwrap().public_key().id().unwrap();
    let expected = [
        "root 2 replaces root 1".to_owned(),
        "  it expires 2029-11-20T00:00:00Z, as before".to_owned(),
        "  it says that it was issued 2026-11-21T00:00:00Z, as before".to_owned(),
        "  files are named by version and digest (consistent snapshot), as before".to_owned(),
        "  root: 2 of 3 keys must sign, it was 1 of 1 keys".to_owned(),
        format!("    key {} JOINS", short(holders.id("alice"))),
        format!("    key {} JOINS", short(holders.id("bob"))),
        format!("    key {} JOINS", short(holders.id("carol"))),
        format!("    key {} LEAVES", short(init.to_string())),
        "  snapshot: unchanged, 1 of 1 keys must sign".to_owned(),
        "  targets: unchanged, 1 of 1 keys must sign".to_owned(),
        "  timestamp: unchanged, 1 of 1 keys must sign".to_owned(),
    ];
    let carried = Proposal::parse("stick", &proposal.encode()).unwrap();
    assert_eq!(carried.describe(), expected);
}

#[test]
fn holder_of_targets_reads_who_may_sign_what() {
    let rig = Rig::with_release();
    let holders = Holders::of(&rig);
    let change = TrustChange {
        add: vec![("globex".to_owned(), holders.public("globex"))],
        leave: vec![TenantName::parse("acme").unwrap()],
        ..TrustChange::default()
    };
    let proposal = rig
        .repository()
        .propose(&change, now().plus_days(1))
        .unwrap();
    let carried = Proposal::parse("stick", &proposal.encode()).unwrap();
    let short = |id: String| id.chars().take(16).collect::<String>();
    let key_of = |name: &str| {
        let key = rig.keys().load(name).unwrap();
        short(key.public_key().id().unwrap().to_string())
    };
    let expected = [
        "root 1 stays".to_owned(),
        "targets 3 replaces targets 2".to_owned(),
        "  it expires 2028-05-23T00:00:00Z, it was 2028-05-22T00:00:00Z".to_owned(),
        "  it says that it was issued 2026-11-22T00:00:00Z, it was 2026-11-21T00:00:00Z".to_owned(),
        "  its 0 targets are as they were".to_owned(),
        "  globex: may sign globex/*/catalogue (and nobody else does), it was nothing".to_owned(),
        "  acme: is REMOVED and signs nothing any more".to_owned(),
        format!("    key {} LEAVES", key_of("acme")),
        "  acme-operations: is REMOVED and signs nothing any more".to_owned(),
        format!("    key {} LEAVES", key_of("acme-operations")),
        "  globex: is NEW, 1 of 1 keys must sign".to_owned(),
        format!("    key {} JOINS", short(holders.id("globex"))),
    ];
    assert_eq!(carried.describe(), expected);
}

#[test]
fn one_lost_root_key_of_three_is_replaced_by_the_other_two() {
    let rig = held_by_three();
    let holders = Holders::of(&rig);
    let root = || "root".to_owned();
    let change = TrustChange {
        add: vec![(root(), holders.public("dave"))],
        remove: vec![(root(), holders.id("carol"))],
        ..TrustChange::default()
    };
    let mut proposal = rig.repository().propose(&change, now()).unwrap();
    for name in ["alice", "bob"] {
        proposal = holders.signed_by(name, &proposal);
    }
    assert_eq!(publish(&rig, &proposal).unwrap().root, 3);
    assert_sound(&rig);
}

#[test]
fn every_key_of_every_role_is_rotated_while_devices_can_follow() {
    let rig = Rig::with_release();
    let holders = Holders::of(&rig);
    let roles = [
        "timestamp",
        "snapshot",
        "targets",
        "acme",
        "acme-operations",
        "root",
    ];
    for role in roles {
        let change = replaced(&rig, &holders, role, &format!("new-{role}"));
        let mut proposal = rig.repository().propose(&change, now()).unwrap();
        // Those who give up the key, and those who take it over.
        proposal.sign_with(&rig.keys()).unwrap();
        proposal
            .sign_with(&holders.keys(&format!("new-{role}")))
            .unwrap();
        // The operator's folder has the new key from now on.
        let (from, name) = (holders.keys(&format!("new-{role}")), format!("new-{role}"));
        for (here, there) in [
            (from.path_of(&name), rig.keys().path_of(&name)),
            (from.public_path_of(&name), rig.keys().public_path_of(&name)),
        ] {
            fs::copy(here, there).unwrap();
        }
        let governed = publish(&rig, &proposal).unwrap();
        assert!(governed.is_seamless, "{role}");
        assert_sound(&rig);
    }
    for role in roles {
        fs::remove_file(rig.keys().path_of(role)).unwrap();
    }
    rig.write(&[("index.html", lesson(1, 201))]);
    rig.publish("1.1").unwrap();
    assert_sound(&rig);
}

/// The files of the repository, and whether a device that starts from its first root accepts them.
fn is_sound_at(path: &Path) -> bool {
    audit(path, &AuditOptions::at(now())).unwrap().is_sound()
}

#[test]
fn rotation_that_dies_at_any_step_is_finished_by_doing_it_again() {
    for keeps_old_key in [true, false] {
        let mut seen = 0;
        for steps in 0.. {
            let rig = Rig::with_release();
            let holders = Holders::of(&rig);
            let change = replaced(&rig, &holders, "timestamp", "fresh");
            let mut proposal = rig.repository().propose(&change, now()).unwrap();
            proposal.sign_with(&rig.keys()).unwrap();
            if !keeps_old_key {
                fs::remove_file(rig.keys().path_of("timestamp")).unwrap();
            }
            let fresh = holders.keys("fresh").load("fresh").unwrap();
            let keys = rig.keys().with_signer(Arc::new(fresh));
            let died = Watched::dying(rig.repository_path(), steps)
                .repository()
                .publish_proposal(&proposal, &keys, now());
            // With the old key at hand there is no moment at which devices cannot follow.
            assert!(
                !keeps_old_key || is_sound_at(&rig.repository_path()),
                "{steps}"
            );
            let is_over = died.is_ok();
            if !is_over {
                let again = rig.repository().publish_proposal(&proposal, &keys, now());
                match again {
                    Ok(governed) => assert_eq!(governed.is_seamless, keeps_old_key),
                    // All was there but for the last sync.
                    Err(PublishError::Ceremony(_)) => {}
                    Err(other) => panic!("{steps}: {other:?}"),
                }
            }
            assert_sound(&rig);
            assert_eq!(rig.repository().role_reports().unwrap()[0].version, Some(2));
            seen = steps;
            if is_over {
                break;
            }
        }
        assert!(seen >= 4, "only {seen} steps");
    }
}

#[test]
fn stolen_key_of_a_tenant_is_revoked_and_the_tenant_signs_anew() {
    let rig = held_by_three();
    let holders = Holders::of(&rig);
    let change = replaced(&rig, &holders, "acme", "acme-new");
    let mut proposal = rig.repository().propose(&change, now()).unwrap();
    let files: Vec<String> = proposal.files().into_iter().map(|(role, _)| role).collect();
    assert_eq!(files, ["acme", "targets"]);
    // The operators have no key of the tenant: the tenant has to sign what it published.
    proposal.sign_with(&rig.keys()).unwrap();
    fs::remove_file(rig.keys().path_of("acme")).unwrap();
    match publish(&rig, &proposal) {
        Err(PublishError::Ceremony(error)) => {
            let expected = format!("not yet signed by {}", &holders.id("acme-new")[..16]);
            assert!(error.to_string().contains(&expected), "{error}");
        }
        other => panic!("expected a refusal, found {other:?}"),
    }
    let signed = holders.signed_by("acme-new", &proposal);
    publish(&rig, &signed).unwrap();
    assert_sound(&rig);
    rig.write(&[("index.html", lesson(1, 201))]);
    match rig.publish("1.1") {
        Err(PublishError::KeyMissing { role, .. }) => assert_eq!(role, "acme"),
        other => panic!("expected a missing key, found {other:?}"),
    }
    let new = holders.keys("acme-new").load("acme-new").unwrap();
    let keys = rig.keys().with_signer(Arc::new(new));
    let cancel = diff_core::CancelToken::new();
    let course = rig.course_path();
    let published =
        rig.repository()
            .publish(&course, &keys, &options("1.1"), &publisher::Quiet, &cancel);
    published.unwrap();
    assert_sound(&rig);
}

#[test]
fn tenant_joins_by_its_public_keys_alone_and_publishes_by_itself() {
    let rig = Rig::with_release();
    let holders = Holders::of(&rig);
    let change = TrustChange {
        add: vec![
            ("globex".to_owned(), holders.public("globex")),
            (
                "globex-operations".to_owned(),
                holders.public("globex-operations"),
            ),
        ],
        ..TrustChange::default()
    };
    let governed = rig
        .repository()
        .change_trust(&change, &rig.keys(), now())
        .unwrap();
    let names: Vec<&str> = governed
        .files
        .iter()
        .map(|(role, _)| role.as_str())
        .collect();
    assert_eq!(names, ["targets", "snapshot", "timestamp"]);
    assert_sound(&rig);
    // The tenant never sees the key of targets.
    fs::remove_file(rig.keys().path_of("targets")).unwrap();
    let mut keys = rig.keys();
    for name in ["globex", "globex-operations"] {
        keys = keys.with_signer(Arc::new(holders.keys(name).load(name).unwrap()));
    }
    let mut options = options("1.0");
    options.pack = release_format::PackName::parse("globex/physics").unwrap();
    let cancel = diff_core::CancelToken::new();
    let course = rig.course_path();
    let published = rig
        .repository()
        .publish(&course, &keys, &options, &publisher::Quiet, &cancel)
        .unwrap();
    assert!(!published.delegated);
    assert_eq!(rig.repository().packs().unwrap().len(), 2);
    assert_sound(&rig);
}

#[test]
fn tenant_that_leaves_takes_its_packs_along_and_no_others() {
    let rig = Rig::with_release();
    let change = TrustChange {
        leave: vec![TenantName::parse("acme").unwrap()],
        ..TrustChange::default()
    };
    rig.repository()
        .change_trust(&change, &rig.keys(), now())
        .unwrap();
    assert_eq!(rig.repository().packs().unwrap(), []);
    assert_sound(&rig);
    let reports = rig.repository().role_reports().unwrap();
    assert_eq!(reports.len(), 4);
}

#[test]
fn repository_of_other_keys_is_never_mistaken_for_this_one() {
    let rig = Rig::with_release();
    let other = Rig::with_release();
    let holders = Holders::of(&rig);
    let mut proposal = rig
        .repository()
        .propose(&three_holders(&holders), now())
        .unwrap();
    proposal.sign_with(&rig.keys()).unwrap();
    for name in ["alice", "bob"] {
        proposal.sign_with(&holders.keys(name)).unwrap();
    }
    let repository: Repository = other.repository();
    let refused = repository.publish_proposal(&proposal, &other.keys(), now());
    let told = refused.unwrap_err().to_string();
    assert!(
        told.contains("found that it follows root 1, another one"),
        "{told}"
    );
}
