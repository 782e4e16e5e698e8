//! The client inside other people's programs.

use std::sync::Arc;

use diff_core::CancelToken;
use satchel_tests::rig::server::Server;
use satchel_tests::rig::world::{Device, World, first_course, second_course};
use updater_client::{HttpTransport, Outcome, UpdateOptions, Updater};

/// Installs, confirms and updates over HTTP by the blocking calls, as a host would from a task.
fn install_and_update(world: &World, server: &Server) {
    let device = world.device();
    update_and_confirm(&device, server);
    device.assert_has(&first_course());
    world.publish("1.1", &second_course());
    update_and_confirm(&device, server);
    device.assert_has(&second_course());
}

fn update_and_confirm(device: &Device, server: &Server) {
    let transport = HttpTransport::new(&server.url()).unwrap();
    let updater = device
        .builder()
        .repository(Arc::new(transport))
        .build()
        .unwrap();
    let options = UpdateOptions::default();
    let updated = updater
        .update(device.pack(), &options, &CancelToken::new())
        .unwrap();
    assert!(matches!(updated.outcome, Outcome::Activated(_)));
    updater
        .trial(device.pack())
        .unwrap()
        .unwrap()
        .confirm()
        .unwrap();
}

#[test]
fn blocking_calls_are_safe_inside_a_task_of_a_runtime_with_many_threads() {
    let world = World::new();
    world.publish("1.0", &first_course());
    let server = Server::start(world.repository()).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    runtime.block_on(async {
        tokio::spawn(async move { install_and_update(&world, &server) })
            .await
            .unwrap();
    });
}

#[test]
fn blocking_calls_are_safe_inside_a_runtime_of_one_thread() {
    let world = World::new();
    world.publish("1.0", &first_course());
    let server = Server::start(world.repository()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async { install_and_update(&world, &server) });
}

#[test]
fn updater_is_shared_between_threads() {
    fn is_shared<T: Send + Sync>() {}
    is_shared::<Updater>();
}
