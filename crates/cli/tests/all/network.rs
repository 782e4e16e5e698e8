//! The program behind a server of an authority of its own, which lets known devices in alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use satchel_tests::rig::course::Course;
use satchel_tests::rig::server::Server;
use satchel_tests::rig::tls::{Authority, Clients};
use satchel_tests::rig::world::World;
use updater_client::{Clock, SystemClock};

use crate::place::{Ran, satchel};

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
        let library = self.library.to_str().unwrap();
        satchel(&["--json", "update", library, self.world.pack().as_str()])
    }
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
    let trusting = |command: &mut Command| {
        command.arg("--tls-roots").arg(&roots);
        let output = command.arg("--tls-identity").arg(&identity).output();
        Ran::of(output.unwrap())
    };
    let unknown = school.update().arg("--tls-roots").arg(&roots).output();
    let unbelieved = school.update().output();
    for refused in [
        Ran::of(unknown.unwrap()),
        Ran::of(unbelieved.unwrap()),
        trusting(school.update().arg("--tls-pin").arg(&stranger)),
    ] {
        let told = (refused.exit, refused.error_code());
        assert_eq!(
            told,
            (3, "wrong-certificate".to_owned()),
            "{}",
            refused.stderr
        );
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
        let ran = Ran::of(school.update().arg(flag).arg(path).output().unwrap());
        (ran.error_code(), ran.exit)
    };
    let told = |code: &str, exit| (code.to_owned(), exit);
    assert_eq!(refused("--tls-roots", &empty), told("wrong-roots", 3));
    let key = school.file("key.pem", "-----BEGIN PRIVATE KEY-----\n");
    assert_eq!(refused("--tls-identity", &key), told("wrong-identity", 3));
    let absent = school.world.folder().join("absent.pem");
    assert_eq!(refused("--tls-roots", &absent), told("io", 1));
    let output = school.update().arg("--tls-pin").arg("3b0c").output();
    assert_eq!(output.unwrap().status.code(), Some(2));
}
