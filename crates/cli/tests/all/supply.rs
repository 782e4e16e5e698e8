//! Sticks, thinning out and deltas as scripts see them.

use std::fs;

use serde_json::Value;

use crate::place::Place;

/// A repository with releases 1.0 to 1.3 of `acme/biology`, and a library that has 1.2.
fn published() -> Place {
    let rig = Place::new();
    rig.done("init repo");
    for n in 0..4 {
        let folder = rig.path("course");
        fs::create_dir_all(&folder).unwrap();
        let line = |line: u32| format!("line {line}, {}\n", line * 7919 % (1013 + n));
        let lesson: String = (0..2_000).map(line).collect();
        fs::write(folder.join("lesson.html"), lesson).unwrap();
        let kept: String = (0..9_000)
            .map(|n| format!("{}\n", n * 7907 % 9001))
            .collect();
        fs::write(folder.join("kept.html"), kept).unwrap();
        rig.done(&format!(
            "publish repo course --pack acme/biology --release 1.{n} --delta-from last:1"
        ));
        if n == 2 {
            rig.done("enroll library --repository repo --root repo/metadata/1.root.json");
            rig.done("update library acme/biology");
            rig.done("confirm library acme/biology");
        }
    }
    rig
}

#[test]
fn stick_is_written_once_brought_up_to_date_and_read_without_the_repository() {
    let rig = published();
    let exported = rig.json("export repo stick --pack acme/biology --from 1.2");
    assert_eq!(exported["packs"][0]["deltas"][0]["from"], "1.2");
    assert_eq!(exported["files"], exported["written_files"]);
    let again = rig.json("export repo stick --full");
    assert!(again["packs"][0]["archive_bytes"].as_u64() > Some(0));
    let told = rig.done("export repo stick --full");
    assert!(told.contains("written: 0 files"), "{told}");
    fs::rename(rig.path("repo"), rig.path("away")).unwrap();
    rig.done("update library acme/biology --from stick");
    assert!(rig.done("status library").contains("1.3"));

    assert_eq!(
        rig.refused("export away stick --from 0.9"),
        (1, "unknown-label".to_owned())
    );
    assert_eq!(rig.run("export away stick --from 1.0 --full").exit, 2);
    let inside = rig.refused("export away away/stick");
    assert_eq!(inside, (2, "folder-holds-repository".to_owned()));
}

#[test]
fn deltas_are_made_for_devices_that_have_few_methods() {
    let rig = published();
    let lesson: String = (0..2_000)
        .map(|line| format!("line {line}, {}\n", line * 7919 % 1021))
        .collect();
    fs::write(rig.path("course/lesson.html"), lesson).unwrap();
    rig.done(
        "publish repo course --pack acme/biology --release 1.4 --methods zstd --delta-from last:1",
    );
    rig.done("deltas add repo acme/biology --from 1.0 --methods zstd");
    let shown = rig.done("show repo acme/biology@1.4");
    let (_, deltas) = shown.split_once("METHODS\n").unwrap();
    assert_eq!(deltas.lines().count(), 3, "{shown}");
    assert!(
        deltas.lines().all(|line| line.ends_with(" zstd")),
        "{shown}"
    );
    rig.done("update library acme/biology");
}

#[test]
fn repository_is_thinned_out_and_says_for_whom_it_costs_what() {
    let rig = published();
    fs::write(rig.path("course/lesson.html"), "another lesson").unwrap();
    rig.done("publish repo course --pack acme/biology --release 1.4 --delta-from last:1");
    let dry = rig.json("prune-repository repo --keep 1 --dry-run");
    assert_eq!(dry["packs"][0]["dropped"][0]["release"], "1.0");
    let done = rig.json("prune-repository repo --keep 1 --now");
    assert_eq!(dry["packs"], done["packs"]);
    let left = rig.json("list repo");
    // The newest, and the one that its rollout names to fall back to.
    assert_eq!(left["packs"][0]["releases"], 2);
    rig.done("audit repo --apply");
    // A device on a release that is gone takes the whole one.
    let updated = rig.json("update library acme/biology");
    assert_eq!(updated["route"]["from"], Value::Null);
    assert!(rig.done("status library").contains("1.4"));
    assert_eq!(rig.run("prune-repository repo --keep 0").exit, 2);
}

#[test]
fn deltas_are_planned_for_a_fleet_and_added() {
    let rig = published();
    fs::write(rig.path("fleet.csv"), "label,devices\n1.0,5000\n1.2,20\n").unwrap();
    let planned = rig.json("deltas plan repo acme/biology --fleet fleet.csv");
    assert_eq!(planned["devices"], 5020);
    assert_eq!(planned["recommended"], "last:1,baseline:1.0");
    let told = rig.done("deltas plan repo acme/biology --fleet fleet.csv");
    assert!(told.contains("recommended: --delta-from"), "{told}");
    let added = rig.json("deltas add repo acme/biology --from 1.0");
    assert_eq!(added["added"][0]["outcome"], "added");
    rig.done("audit repo --apply");

    fs::write(rig.path("fleet.csv"), "label,devices\n1.0,some\n").unwrap();
    let ran = rig.run("deltas plan repo acme/biology --fleet fleet.csv --json");
    assert!(
        ran.exit == 2 && ran.stdout.contains("line 2"),
        "{}",
        ran.stdout
    );
}
