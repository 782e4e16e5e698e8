//! The program keeps what is open, pinned or held, and heals what is damaged.

#![allow(clippy::unwrap_used, clippy::panic)] // Helpers of tests are tests as well.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use satchel_tests::rig::world::remove;
use serde_json::Value;

/// A repository with release 1.0, and a library that has it confirmed.
struct Rig {
    place: tempfile::TempDir,
}

impl Rig {
    fn new() -> Rig {
        let rig = Rig {
            place: tempfile::tempdir().unwrap(),
        };
        rig.run("init repo", 0);
        rig.publish("1.0");
        rig.run(
            "enroll library --repository repo --root repo/metadata/1.root.json",
            0,
        );
        rig.go_on();
        rig
    }

    fn publish(&self, label: &str) {
        let folder = self.place.path().join(label);
        fs::create_dir_all(&folder).unwrap();
        let lesson: String = (0..3_000)
            .map(|line| format!("line {line}, {}\n", line * 7919 % 1013))
            .collect();
        fs::write(folder.join("lesson.html"), lesson).unwrap();
        fs::write(folder.join("label.txt"), label).unwrap();
        self.run(
            &format!("publish repo {label} --pack acme/biology --release {label}"),
            0,
        );
    }

    fn go_on(&self) {
        self.run("update library acme/biology", 0);
        self.run("confirm library acme/biology", 0);
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_satchel"));
        command
            .args(line.split_whitespace())
            .current_dir(self.place.path())
            .env_remove("SATCHEL_PASSPHRASE")
            .env_remove("SOURCE_DATE_EPOCH")
            .stdin(Stdio::null());
        command
    }

    #[track_caller]
    fn run(&self, line: &str, exit: i32) -> String {
        let output = self.command(line).output().unwrap();
        let (out, err) = (&output.stdout, String::from_utf8_lossy(&output.stderr));
        let out = String::from_utf8(out.clone()).unwrap();
        assert_eq!(output.status.code(), Some(exit), "{line}: {out}{err}");
        out
    }

    /// Runs a verb and returns its one JSON object, every key of which is in the book.
    #[track_caller]
    fn json(&self, line: &str, exit: i32) -> Value {
        let value: Value =
            serde_json::from_str(&self.run(&format!("{line} --json"), exit)).unwrap();
        assert_eq!(value["schema"], 1);
        assert_documented(&value);
        value
    }

    fn label(&self, tree: &Path) -> String {
        fs::read_to_string(tree.join("label.txt")).unwrap()
    }

    fn active(&self) -> PathBuf {
        PathBuf::from(self.run("path library acme/biology", 0).trim())
    }
}

fn assert_documented(value: &Value) {
    match value {
        Value::Array(values) => values.iter().for_each(assert_documented),
        Value::Object(members) => {
            for (key, value) in members {
                assert!(
                    JSON_PAGE.contains(&format!("`{key}`")),
                    "{key} is not documented"
                );
                assert_documented(value);
            }
        }
        _ => {}
    }
}

const JSON_PAGE: &str = include_str!("../../../docs/src/json.md");

#[test]
fn what_a_program_has_open_stays_until_its_stdin_ends() {
    let rig = Rig::new();
    let mut reader = rig
        .command("open library acme/biology")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut lines = BufReader::new(reader.stdout.take().unwrap());
    lines.read_line(&mut line).unwrap();
    let tree = PathBuf::from(line.trim());
    for label in ["1.1", "1.2", "1.3"] {
        rig.publish(label);
        rig.go_on();
        assert_eq!(rig.label(&tree), "1.0");
    }
    let status = rig.json("status library acme/biology", 0);
    assert_eq!(status["packs"][0]["leased"].as_array().unwrap().len(), 1);
    let told = rig.json("prune library --dry-run", 0);
    assert_eq!(told["in_use"][0]["label"], "1.0");
    drop(reader.stdin.take());
    assert!(reader.wait().unwrap().success());
    let told = rig.json("prune library --dry-run", 0);
    let mut labels: Vec<_> = told["releases"].as_array().unwrap().iter().collect();
    labels.retain(|release| release["label"] == "1.0");
    assert_eq!((labels.len(), &told["dry_run"]), (1, &true.into()));
    assert!(tree.is_dir());
    rig.json("prune library", 0);
    assert!(!tree.exists());
}

#[cfg(unix)]
#[test]
fn a_command_runs_while_its_release_is_open_and_its_failure_is_told() {
    let rig = Rig::new();
    let mut command = rig.command("open library acme/biology -- sh -c");
    let output = command
        .arg("cat \"$SATCHEL_TREE/label.txt\"")
        .output()
        .unwrap();
    assert_eq!(output.stdout, b"1.0");
    assert!(output.status.success());
    let failed = rig.run("open library acme/biology --json -- false", 1);
    assert!(failed.contains("command-failed"), "{failed}");
}

#[test]
fn a_held_pack_ends_staged_with_its_own_exit_code_and_switches_when_it_is_released() {
    let rig = Rig::new();
    rig.publish("1.1");
    let held = rig.json("hold library acme/biology --reason exam --until 4h", 0);
    assert_eq!(held["held"]["reason"], "exam");
    let updated = rig.json("update library acme/biology", 6);
    assert_eq!(updated["outcome"], "staged");
    assert_eq!(updated["held"]["until"], held["held"]["until"]);
    let status = rig.json("status library acme/biology", 0);
    assert_eq!(status["packs"][0]["staged"]["label"], "1.1");
    assert_eq!(status["packs"][0]["held"]["reason"], "exam");
    assert_eq!(rig.label(&rig.active()), "1.0");
    let refused = rig.json("hold library acme/biology --reason exam --until 40d", 1);
    assert_eq!(refused["error"]["code"], "wrong-hold");
    rig.json("unhold library acme/biology", 0);
    let updated = rig.json("update library acme/biology", 0);
    assert_eq!(
        (&updated["outcome"], &updated["route"]),
        (&"activated".into(), &Value::Null)
    );
    assert_eq!(rig.label(&rig.active()), "1.1");
}

#[test]
fn a_pinned_release_is_opened_by_its_content_version_until_it_is_unpinned() {
    let rig = Rig::new();
    let pinned = rig.json("pin library acme/biology", 0);
    let version = pinned["pins"][0]["content_version"].as_str().unwrap();
    assert_eq!(pinned["pins"][0]["stays"], true);
    rig.publish("1.1");
    assert_eq!(
        rig.json("update library acme/biology", 0)["outcome"],
        "withheld"
    );
    let kept = rig.json("pin library acme/biology 1.0 --keep", 0);
    assert_eq!(kept["pins"][0]["stays"], false);
    for label in ["1.2", "1.3"] {
        rig.publish(label);
        rig.go_on();
    }
    let opened = rig.json(&format!("open library {version}"), 0);
    assert_eq!(
        rig.label(Path::new(opened["path"].as_str().unwrap())),
        "1.0"
    );
    assert_eq!(
        rig.json("pin library acme/biology 9.9", 1)["error"]["code"],
        "release-absent"
    );
    rig.json("unpin library acme/biology 1.0", 0);
    let absent = rig.json(&format!("open library {version}"), 1);
    assert_eq!(absent["error"]["code"], "release-absent");
}

#[test]
fn damage_is_found_in_every_release_and_healed() {
    let rig = Rig::new();
    rig.publish("1.1");
    let old = rig.active();
    rig.go_on();
    for file in [rig.active().join("lesson.html"), old.join("label.txt")] {
        remove(&file);
    }
    let found = rig.json("verify library", 8);
    assert_eq!(found["packs"][0]["damage"][0]["path"], "lesson.html");
    assert_eq!(
        found["packs"][0]["others"][0]["damage"][0]["path"],
        "label.txt"
    );
    let healed = rig.json("heal library", 0);
    let of_active = &healed["releases"][0];
    // The fallback has the lesson; nothing else on the device has its label.
    assert_eq!(
        (&of_active["found_files"], &of_active["fetched_files"]),
        (&1.into(), &0.into())
    );
    assert_eq!(healed["releases"][1]["fetched_files"], 1);
    rig.json("verify library", 0);
    assert_eq!(rig.label(&rig.active()), "1.1");
    assert_eq!(
        rig.json("heal library", 0)["releases"]
            .as_array()
            .unwrap()
            .len(),
        0
    );
}
