//! Who may say what of rollouts: what another role signs, and what a newer publisher says, is nothing.

use std::path::Path;
use std::sync::Arc;

use publisher::Repository;
use release_format::{ChannelName, PackName};
use satchel_tests::rig::world::{World, first_course};
use updater_client::{CancelToken, ErrorKind, FolderTransport};

#[test]
fn what_a_role_may_not_sign_is_nothing_to_a_device() {
    let (world, device) = World::with_an_update();
    let other = PackName::parse("other/history").unwrap();
    world.publish_with("1.0", &first_course(), |options| {
        options.pack = other.clone()
    });
    let (beta, pack) = (ChannelName::parse("beta").unwrap(), world.pack());
    let rollouts = Repository::open(world.repository())
        .unwrap()
        .rollouts(pack)
        .unwrap();
    let mut bytes = rollouts.into_iter().next().unwrap();
    bytes.channel = beta.clone();
    let bytes = bytes.encode().unwrap();
    let follow = |mirror: &Path, pack: &PackName| {
        // Another device each time: one that has trusted a forgery believes no other of its version.
        let follower = world
            .folder()
            .join("followers")
            .join(mirror.file_name().unwrap());
        let updater = device
            .copied_to(follower)
            .builder()
            .repository(Arc::new(FolderTransport::new(mirror)))
            .channel(beta.clone())
            .build()
            .unwrap();
        updater.check(pack, &CancelToken::new())
    };
    // Content keys, and another tenant's operations keys, put a rollout into their own files.
    for role in ["acme", "other", "other-operations", "acme-operations"] {
        let mirror = world.copy_of_repository();
        let target = pack.rollout_target(&beta);
        world
            .forger(&mirror)
            .put_target(role, &target, &bytes)
            .unwrap();
        let found = follow(&mirror, pack)
            .map(drop)
            .map_err(|failed| failed.code());
        let expected = match role {
            "acme-operations" => Ok(()),
            _ => Err("unknown-channel"),
        };
        assert_eq!(found, expected, "{role}");
    }
    // Operations keys put a catalogue into theirs.
    let new = PackName::parse("acme/new").unwrap();
    let mirror = world.copy_of_repository();
    let target = new.catalogue_target();
    world
        .forger(&mirror)
        .put_target("acme-operations", &target, b"{}")
        .unwrap();
    let failed = follow(&mirror, &new).unwrap_err();
    assert_eq!(failed.code(), "unknown-pack");
}

#[test]
fn a_rollout_that_this_client_would_misjudge_is_refused_as_newer_and_changes_nothing() {
    let (world, device) = World::with_an_update();
    let mirror = world.copy_of_repository();
    world
        .forger(&mirror)
        .change_rollout(world.pack(), "stable", |rollout| {
            rollout["schema"] = 3.into()
        })
        .unwrap();
    let refused = device.update_from(&mirror).unwrap_err();
    assert_eq!(
        (refused.kind(), refused.code()),
        (ErrorKind::Unsupported, "newer-document")
    );
    device.assert_has(&first_course());
}
