//! Metadata and catalogues that arrive as patches of what the device holds: fewer bytes, the same trust.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use satchel_tests::rig::course::Course;
use satchel_tests::rig::server::{Misbehaviour, Request, Server};
use satchel_tests::rig::world::{Device, World, copy_tree, files_below, first_course};
use updater_client::{HttpTransport, Updated};

const PATCHES: &str = "metadata/patches/";

fn course(number: u64) -> Course {
    (2..=number).fold(first_course(), |course, seed| course.revised_lightly(seed))
}

/// Publishes releases 1 to `last`; a device has the first one of them.
fn published(last: u64) -> (World, Device) {
    let world = World::new();
    let device = world.device();
    for number in 1..=last {
        world.publish(&number.to_string(), &course(number));
        if number == 1 {
            device.update().unwrap();
            device.confirm();
        }
    }
    (world, device)
}

/// Updates a copy of `device` from a server of `repository`, and returns what was asked for.
fn update_over(
    device: &Device,
    library: PathBuf,
    repository: &Path,
    misbehaves: Option<Misbehaviour>,
) -> (Device, Updated, Vec<Request>) {
    let device = device.copied_to(library);
    let server = Server::start(repository).unwrap();
    if let Some(misbehaviour) = misbehaves {
        server.misbehave(&format!("{PATCHES}*"), misbehaviour);
    }
    let transport = Arc::new(HttpTransport::new(&server.url()).unwrap());
    let updated = device.update_over(transport).unwrap();
    (device, updated, server.requests())
}

fn of(requests: &[Request], is_it: impl Fn(&str) -> bool) -> (usize, u64) {
    let those = requests.iter().filter(|request| is_it(&request.location));
    those.fold((0, 0), |(count, bytes), request| {
        (count + 1, bytes + request.sent)
    })
}

fn is_patch(location: &str) -> bool {
    location.starts_with(PATCHES)
}

fn is_whole(location: &str) -> bool {
    location.ends_with(".catalogue") || location.ends_with(".snapshot.json")
}

#[test]
fn a_device_fetches_of_catalogue_and_snapshot_what_is_new_in_as_many_requests_as_whole() {
    let (world, device) = published(6);
    let bare = world.copy_of_repository();
    fs::remove_dir_all(bare.join(PATCHES)).unwrap();
    let library = |name| world.folder().join(name);
    let (patched, updated, requests) =
        update_over(&device, library("patched"), &world.repository(), None);
    assert_eq!(of(&requests, is_whole).0, 0, "{requests:#?}");
    let (count, bytes) = of(&requests, is_patch);
    patched.assert_has(&course(6));

    let (_, whole, requests) = update_over(&device, library("whole"), &bare, None);
    let sought = of(&requests, is_patch).0;
    assert_eq!(sought, count);
    assert_eq!(
        whole.traffic.requests,
        updated.traffic.requests + sought as u64
    );
    let (_, length) = of(&requests, |location| location.ends_with(".catalogue"));
    assert!(bytes < length / 2, "{bytes} of {length}");
    assert!(whole.traffic.bytes > updated.traffic.bytes + length / 2);
}

#[test]
fn a_device_that_holds_no_old_file_fetches_the_new_one_compressed() {
    let (world, _) = published(4);
    let new = world.device_at(world.folder().join("new"));
    let (new, _, requests) = update_over(
        &new,
        world.folder().join("begins"),
        &world.repository(),
        None,
    );
    new.assert_has(&course(4));
    assert_eq!(
        of(&requests, |location| location.ends_with(".catalogue")).0,
        0
    );
    assert!(of(&requests, is_patch).0 > 0);
}

#[test]
fn whatever_is_wrong_with_patches_the_update_goes_on_with_whole_files() {
    let (world, device) = published(3);
    let wrong = [
        Misbehaviour::Status(404),
        Misbehaviour::Status(403),
        Misbehaviour::Status(500),
        Misbehaviour::HangUp,
        Misbehaviour::Truncate { at: 20 },
        Misbehaviour::Flip { byte: 30 },
        Misbehaviour::Endless,
        Misbehaviour::Instead(b"no patch".to_vec()),
        Misbehaviour::Instead(vec![0; 1 << 20]),
        Misbehaviour::LoginPage,
        Misbehaviour::Gzip,
    ];
    for (number, wrong) in wrong.into_iter().enumerate() {
        let library = world.folder().join(format!("wrong {number}"));
        let told = format!("{wrong:?}");
        let (device, _, requests) = update_over(&device, library, &world.repository(), Some(wrong));
        device.assert_has(&course(3));
        let (tried, _) = of(&requests, is_patch);
        let (whole, _) = of(&requests, is_whole);
        assert_eq!(whole, 2, "{told}");
        // Each once: it is not waited for.
        let mut patches: Vec<_> = requests.iter().map(|one| &one.location).collect();
        patches.retain(|location| is_patch(location));
        patches.dedup();
        assert_eq!(patches.len(), tried, "{told}");
    }
}

#[test]
fn a_patch_that_leads_to_another_file_is_as_good_as_none() {
    let (world, device) = published(3);
    let lying = world.copy_of_repository();
    let patches = files_below(&lying.join(PATCHES));
    // Sound patches, each in the place of another.
    let bytes: Vec<_> = patches.iter().map(|path| fs::read(path).unwrap()).collect();
    for (path, other) in patches.iter().zip(bytes.iter().skip(1).chain(&bytes[..1])) {
        fs::write(path, other).unwrap();
    }
    let library = world.folder().join("lied to");
    let (device, _, requests) = update_over(&device, library, &lying, None);
    device.assert_has(&course(3));
    assert_eq!(of(&requests, is_whole).0, 2);
}

#[test]
fn a_stick_without_patches_is_read_whole_though_a_network_has_them() {
    let (world, device) = published(3);
    let stick = world.folder().join("stick");
    copy_tree(&world.repository(), &stick);
    fs::remove_dir_all(stick.join(PATCHES)).unwrap();
    let server = Server::start(world.repository()).unwrap();
    let network = Arc::new(HttpTransport::new(&server.url()).unwrap());
    let stick = Arc::new(updater_client::FolderTransport::new(stick));
    let updater = device.alone().repository(network).prefer(stick).build();
    let (options, cancel) = (Default::default(), diff_core::CancelToken::new());
    updater
        .unwrap()
        .update(device.pack(), &options, &cancel)
        .unwrap();
    device.assert_has(&course(3));
    assert_eq!(of(&server.requests(), is_patch).0, 0);
}
