//! What a person at a terminal is asked, and what each answer leads to.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::place::{Place, Ran};

/// A repository whose root `alice` may sign next, by a change that waits in `next.json`.
fn proposed() -> Place {
    let mut rig = Place::new();
    rig.done("init repo");
    rig.set("SATCHEL_PASSPHRASE", "correct horse");
    rig.done("keys generate alice");
    rig.done("root propose repo --out next.json --add root=keys/alice.pub");
    rig.unset("SATCHEL_PASSPHRASE");
    rig
}

/// Runs the program at a terminal where somebody types these lines.
fn typing(rig: &Place, line: &str, typed: &[&str]) -> Ran {
    let mut command = Command::new("script");
    let program = env!("CARGO_BIN_EXE_satchel");
    rig.place(command.args(["-qec", &format!("'{program}' {line}"), "/dev/null"]));
    command.env_remove("SATCHEL_PASSPHRASE");
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut keyboard = child.stdin.take().unwrap();
    for line in typed {
        writeln!(keyboard, "{line}").unwrap();
    }
    let ran = Ran::of(child.wait_with_output().unwrap());
    drop(keyboard);
    ran
}

#[test]
fn new_keys_are_locked_by_a_passphrase_that_is_typed_twice() {
    let rig = proposed();
    let made = typing(&rig, "keys generate bob", &["battery", "battery"]);
    assert_eq!(made.exit, 0, "{}", made.stdout);
    let pem = std::fs::read_to_string(rig.path("keys/bob.pem")).unwrap();
    assert!(pem.contains("ENCRYPTED PRIVATE KEY"), "{pem}");
    for (typed, told) in [
        (
            ["battery", "batteries"],
            "expected the same passphrase twice",
        ),
        (["", ""], "expected a passphrase, found an empty one"),
    ] {
        let refused = typing(&rig, "keys generate carol", &typed);
        assert_eq!(refused.exit, 1);
        assert!(refused.stdout.contains(told), "{}", refused.stdout);
        assert!(!rig.path("keys/carol.pem").exists());
    }
}

#[test]
fn a_holder_reads_the_change_consents_and_unlocks_the_key() {
    let rig = proposed();
    let sign = "root sign next.json --keys keys";
    let before = std::fs::read(rig.path("next.json")).unwrap();
    for (typed, exit, told) in [
        (&["no", "correct horse"][..], 1, "not signed"),
        (&["yes", "correct donkey"], 1, "passphrase"),
        (&["yes", "correct horse"], 0, "sign this? [yes/no]"),
    ] {
        assert_eq!(std::fs::read(rig.path("next.json")).unwrap(), before);
        let ran = typing(&rig, sign, typed);
        assert_eq!(ran.exit, exit, "{typed:?}: {}", ran.stdout);
        assert!(ran.stdout.contains(told), "{}", ran.stdout);
        assert!(ran.stdout.contains("JOINS"), "{}", ran.stdout);
    }
    assert_ne!(std::fs::read(rig.path("next.json")).unwrap(), before);
}
