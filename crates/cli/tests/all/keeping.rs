//! The program keeps what is open, pinned or held, and heals what is damaged.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use satchel_tests::rig::world::remove;
use serde_json::Value;

use crate::place::Place;

/// A repository with release 1.0, and a library that has it confirmed.
fn confirmed() -> Place {
    let rig = Place::new();
    rig.done("init repo");
    publish(&rig, "1.0");
    rig.done("enroll library --repository repo --root repo/metadata/1.root.json");
    go_on(&rig);
    rig
}

fn publish(rig: &Place, label: &str) {
    let folder = rig.folder().join(label);
    fs::create_dir_all(&folder).unwrap();
    let lesson: String = (0..3_000)
        .map(|line| format!("line {line}, {}\n", line * 7919 % 1013))
        .collect();
    fs::write(folder.join("lesson.html"), lesson).unwrap();
    fs::write(folder.join("label.txt"), label).unwrap();
    rig.done(&format!(
        "publish repo {label} --pack acme/biology --release {label}"
    ));
}

fn go_on(rig: &Place) {
    rig.done("update library acme/biology");
    rig.done("confirm library acme/biology");
}

fn active(rig: &Place) -> PathBuf {
    PathBuf::from(rig.done("path library acme/biology").trim())
}

fn label_of(tree: &Path) -> String {
    fs::read_to_string(tree.join("label.txt")).unwrap()
}

#[test]
fn what_a_program_has_open_stays_until_its_stdin_ends() {
    let rig = confirmed();
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
        publish(&rig, label);
        go_on(&rig);
        assert_eq!(label_of(&tree), "1.0");
    }
    let status = rig.json("status library acme/biology");
    assert_eq!(status["packs"][0]["leased"].as_array().unwrap().len(), 1);
    let told = rig.json("prune library --dry-run");
    assert_eq!(told["in_use"][0]["label"], "1.0");
    drop(reader.stdin.take());
    assert!(reader.wait().unwrap().success());
    let told = rig.json("prune library --dry-run");
    let mut labels: Vec<_> = told["releases"].as_array().unwrap().iter().collect();
    labels.retain(|release| release["label"] == "1.0");
    assert_eq!((labels.len(), &told["dry_run"]), (1, &true.into()));
    assert!(tree.is_dir());
    rig.json("prune library");
    assert!(!tree.exists());
}

#[cfg(unix)]
#[test]
fn a_command_runs_while_its_release_is_open_and_its_failure_is_told() {
    let rig = confirmed();
    let mut command = rig.command("open library acme/biology -- sh -c");
    let output = command
        .arg("cat \"$SATCHEL_TREE/label.txt\"")
        .output()
        .unwrap();
    assert_eq!(output.stdout, b"1.0");
    assert!(output.status.success());
    let failed = rig.ends("open library acme/biology --json -- false", 1);
    assert!(failed.contains("command-failed"), "{failed}");
}

#[test]
fn a_held_pack_ends_staged_with_its_own_exit_code_and_switches_when_it_is_released() {
    let rig = confirmed();
    publish(&rig, "1.1");
    let held = rig.json("hold library acme/biology --reason exam --until 4h");
    assert_eq!(held["held"]["reason"], "exam");
    let updated = rig.told("update library acme/biology", 6);
    assert_eq!(updated["outcome"], "staged");
    assert_eq!(updated["held"]["until"], held["held"]["until"]);
    let status = rig.json("status library acme/biology");
    assert_eq!(status["packs"][0]["staged"]["label"], "1.1");
    assert_eq!(status["packs"][0]["held"]["reason"], "exam");
    assert_eq!(label_of(&active(&rig)), "1.0");
    let refused = rig.told("hold library acme/biology --reason exam --until 40d", 1);
    assert_eq!(refused["error"]["code"], "wrong-hold");
    rig.json("unhold library acme/biology");
    let updated = rig.json("update library acme/biology");
    assert_eq!(
        (&updated["outcome"], &updated["route"]),
        (&"activated".into(), &Value::Null)
    );
    assert_eq!(label_of(&active(&rig)), "1.1");
}

#[test]
fn a_pinned_release_is_opened_by_its_content_version_until_it_is_unpinned() {
    let rig = confirmed();
    let pinned = rig.json("pin library acme/biology");
    let version = pinned["pins"][0]["content_version"].as_str().unwrap();
    assert_eq!(pinned["pins"][0]["stays"], true);
    publish(&rig, "1.1");
    assert_eq!(
        rig.json("update library acme/biology")["outcome"],
        "withheld"
    );
    let kept = rig.json("pin library acme/biology 1.0 --keep");
    assert_eq!(kept["pins"][0]["stays"], false);
    for label in ["1.2", "1.3"] {
        publish(&rig, label);
        go_on(&rig);
    }
    let opened = rig.json(&format!("open library {version}"));
    assert_eq!(label_of(Path::new(opened["path"].as_str().unwrap())), "1.0");
    assert_eq!(
        rig.told("pin library acme/biology 9.9", 1)["error"]["code"],
        "release-absent"
    );
    rig.json("unpin library acme/biology 1.0");
    let absent = rig.told(&format!("open library {version}"), 1);
    assert_eq!(absent["error"]["code"], "release-absent");
}

#[test]
fn damage_is_found_in_every_release_and_healed() {
    let rig = confirmed();
    publish(&rig, "1.1");
    let old = active(&rig);
    go_on(&rig);
    for file in [active(&rig).join("lesson.html"), old.join("label.txt")] {
        remove(&file);
    }
    let found = rig.told("verify library", 8);
    assert_eq!(found["packs"][0]["damage"][0]["path"], "lesson.html");
    assert_eq!(
        found["packs"][0]["others"][0]["damage"][0]["path"],
        "label.txt"
    );
    let healed = rig.json("heal library");
    let of_active = &healed["releases"][0];
    // The fallback has the lesson; nothing else on the device has its label.
    assert_eq!(
        (&of_active["found_files"], &of_active["fetched_files"]),
        (&1.into(), &0.into())
    );
    assert_eq!(healed["releases"][1]["fetched_files"], 1);
    rig.json("verify library");
    assert_eq!(label_of(&active(&rig)), "1.1");
    assert_eq!(
        rig.json("heal library")["releases"]
            .as_array()
            .unwrap()
            .len(),
        0
    );
}
