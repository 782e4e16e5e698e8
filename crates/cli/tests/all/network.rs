//! The program behind a server of an authority of its own, which lets known devices in alone.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use satchel_tests::rig::course::Course;
use satchel_tests::rig::server::Server;
use satchel_tests::rig::tls::{Authority, Clients};
use satchel_tests::rig::world::World;
use serde_json::Value;
use updater_client::{Clock, SystemClock};

struct School {
    world: World,
    course: Course,
    authority: Authority,
    library: PathBuf,
    _server: Server,
}

impl School {
    fn new() -> School {
        let world = World::at(SystemClock.now());
        let course = Course::bulky(1);
        world.publish("1.0", &course);
        let server = Server::start(world.repository()).unwrap();
        let authority = Authority::before(server.address(), Clients::Known);
        let library = world.folder().join("library");
        updater_client::enroll(&library, world.root(), vec![authority.url()]).unwrap();
        School {
            world,
            course,
            authority,
            library,
            _server: server,
        }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.world.folder().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn update(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_satchel"));
        command.arg("--json").arg("update").arg(&self.library);
        command.arg(self.world.pack().as_str());
        for variable in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
            command.env_remove(variable);
        }
        command
    }
}

fn code(output: &Output) -> String {
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    document["error"]["code"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

fn hex(digest: &[u8; 32]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn flags_and_the_environment_say_whom_to_believe_and_who_the_device_is() {
    let school = School::new();
    let roots = school.file("ca.pem", &school.authority.root);
    let identity = school.file("device.pem", &school.authority.identity());
    let stranger = "00".repeat(32);
    let trusting = |command: &mut Command| -> Output {
        command.arg("--tls-roots").arg(&roots);
        command
            .arg("--tls-identity")
            .arg(&identity)
            .output()
            .unwrap()
    };
    let unknown = school.update().arg("--tls-roots").arg(&roots).output();
    let unbelieved = school.update().output();
    let pinned_to_another = trusting(school.update().arg("--tls-pin").arg(&stranger));
    for refused in [unknown.unwrap(), unbelieved.unwrap(), pinned_to_another] {
        assert_eq!(code(&refused), "wrong-certificate", "{refused:?}");
        assert_eq!(refused.status.code(), Some(3));
    }
    let pins = [stranger, hex(&school.authority.key_digest)].join(",");
    let updated = school
        .update()
        .env("SATCHEL_TLS_ROOTS", &roots)
        .env("SATCHEL_TLS_IDENTITY", &identity)
        .env("SATCHEL_TLS_PIN", pins)
        .output()
        .unwrap();
    assert!(updated.status.success(), "{updated:?}");
    let device = school.world.device().at(school.library.clone());
    device.assert_has(&school.course);
}

#[test]
fn files_that_hold_no_certificate_are_named_before_anything_is_asked_for() {
    let school = School::new();
    let empty = school.file("empty.pem", "");
    let refused = |flag: &str, path: &Path| {
        let output = school.update().arg(flag).arg(path).output().unwrap();
        (code(&output), output.status.code())
    };
    let told = |code: &str, exit| (code.to_owned(), Some(exit));
    assert_eq!(refused("--tls-roots", &empty), told("wrong-roots", 3));
    let key = school.file("key.pem", "-----BEGIN PRIVATE KEY-----\n");
    assert_eq!(refused("--tls-identity", &key), told("wrong-identity", 3));
    let absent = school.world.folder().join("absent.pem");
    assert_eq!(refused("--tls-roots", &absent), told("io", 1));
    let output = school.update().arg("--tls-pin").arg("3b0c").output();
    assert_eq!(output.unwrap().status.code(), Some(2));
}
