//! The program as scripts see it: verbs, output and exit codes.

use std::fs;
use std::path::{Path, PathBuf};

use satchel_tests::rig::world::remove;
use serde_json::Value;

use crate::place::{Place, Ran, Running};

/// A place whose repository offers release 1.0 of `acme/biology`, and whose library is enrolled.
fn published() -> Place {
    let rig = Place::new();
    course(&rig, "course-1.0", "first");
    rig.done("init repo");
    rig.done("publish repo course-1.0 --pack acme/biology --release 1.0");
    rig.json("enroll library --repository repo --root repo/metadata/1.root.json");
    rig
}

/// A place whose library has 1.0 confirmed, while the repository offers 1.1.
fn outdated() -> Place {
    let rig = published();
    rig.done("update library acme/biology");
    rig.done("confirm library acme/biology");
    course(&rig, "course-1.1", "second");
    rig.done("publish repo course-1.1 --pack acme/biology --release 1.1");
    rig
}

fn course(rig: &Place, name: &str, edit: &str) {
    let folder = rig.path(name);
    fs::create_dir_all(folder.join("unit 1")).unwrap();
    let lesson: String = (0..3_000)
        .map(|line| format!("line {line}, {}\n", line * 7919 % 1013))
        .collect();
    fs::write(folder.join("index.html"), format!("<h1>{edit}</h1>")).unwrap();
    fs::write(folder.join("unit 1/lesson.html"), lesson + edit).unwrap();
    fs::write(folder.join("unit 1/same.txt"), "the same in each release").unwrap();
}

/// Returns the folder that `path` prints on its last line.
fn active(rig: &Place) -> PathBuf {
    let told = rig.done("path library acme/biology");
    PathBuf::from(told.lines().last().unwrap())
}

fn serve(rig: &Place, folder: &str) -> Running {
    Running::start(&mut rig.command(&format!("serve {folder} --listen 127.0.0.1:0")))
}

fn assert_same_tree(one: &Path, other: &Path) {
    for name in ["index.html", "unit 1/lesson.html", "unit 1/same.txt"] {
        assert_eq!(
            fs::read(one.join(name)).unwrap(),
            fs::read(other.join(name)).unwrap(),
            "{name}"
        );
    }
}

#[test]
fn the_whole_road_over_http_ends_with_the_published_tree() {
    let rig = Place::new();
    course(&rig, "course-1.0", "first");
    let made = rig.json("init repo");
    assert_eq!(made["keys"], "repo.keys");
    let first = rig.json("publish repo course-1.0 --pack acme/biology --release 1.0");
    assert_eq!(
        (&first["outcome"], &first["sequence"]),
        (&"new".into(), &1.into())
    );
    let served = serve(&rig, "repo");
    rig.done(&format!(
        "enroll library --repository {} --root repo/metadata/1.root.json",
        served.url
    ));
    rig.done("update library acme/biology");
    assert_same_tree(&active(&rig), &rig.path("course-1.0"));
    rig.done("confirm library acme/biology");

    course(&rig, "course-1.1", "second");
    rig.done("publish repo course-1.1 --pack acme/biology --release 1.1");
    let check = rig.json("check library");
    assert_eq!(
        (&check["offer"], &check["release"]["label"]),
        (&"release".into(), &"1.1".into())
    );
    assert!(
        check["plan"]["fetch_bytes"].as_u64().unwrap() < 2_000,
        "{check}"
    );
    let updated = rig.json("update library");
    assert_eq!(updated["outcome"], "activated");
    assert_eq!(updated["route"]["from"], first["manifest"]);
    assert_same_tree(&active(&rig), &rig.path("course-1.1"));
    rig.done("verify library");

    let failed = rig.json("fail library acme/biology --reason broken");
    assert_eq!(failed["active"]["label"], "1.0");
    rig.json("path library acme/biology");
    rig.json("verify library");
    assert_same_tree(&active(&rig), &rig.path("course-1.0"));
    let status = rig.json("status library acme/biology");
    assert_eq!(status["packs"][0]["refused"][0]["reason"], "broken");
    assert_eq!(rig.json("update library")["outcome"], "withheld");
}

#[test]
fn publishing_the_same_content_changes_nothing_and_a_label_is_used_once() {
    let rig = published();
    let again = rig.json("publish repo course-1.0 --pack acme/biology --release 1.0.1");
    assert_eq!(again["outcome"], "unchanged");
    course(&rig, "course-1.1", "second");
    let taken = rig.run("publish repo course-1.1 --pack acme/biology --release 1.0 --json");
    assert_eq!(
        (taken.exit, taken.error_code().as_str()),
        (1, "label-exists")
    );
}

#[test]
fn repositories_are_listed_shown_and_audited() {
    let rig = outdated();
    assert_eq!(rig.json("list repo")["packs"][0]["latest"], "1.1");
    let shown = rig.json("show repo acme/biology");
    assert_eq!(shown["releases"].as_array().unwrap().len(), 2);
    let one = rig.done("show repo acme/biology@1.1");
    assert!(
        one.contains("A DEVICE WITH") && one.contains("nothing"),
        "{one}"
    );
    assert_eq!(
        rig.run("show repo acme/biology@2 --json").error_code(),
        "unknown-label"
    );
    assert_eq!(
        rig.run("show repo acme/physics --json").error_code(),
        "unknown-pack"
    );
    assert_eq!(rig.json("audit repo --apply")["sound"], true);
    flip(&a_content_file(&rig));
    let audited = rig.run("audit repo --json");
    assert_eq!((audited.exit, &audited.json()["sound"]), (8, &false.into()));
}

#[test]
fn the_same_folder_keys_and_time_give_the_same_repository() {
    let rig = Place::new();
    course(&rig, "course", "first");
    for repo in ["one", "other"] {
        for line in [
            format!("init {repo} --keys keys"),
            format!("publish {repo} course --pack acme/biology --release 1.0 --keys keys"),
        ] {
            let mut command = rig.command(&line);
            let status = command
                .env("SOURCE_DATE_EPOCH", "1790000000")
                .output()
                .unwrap()
                .status;
            assert!(status.success(), "{line}");
        }
    }
    let timestamp = |repo: &str| fs::read(rig.path(repo).join("metadata/timestamp.json")).unwrap();
    assert_eq!(timestamp("one"), timestamp("other"));
}

#[test]
fn encrypted_keys_sign_with_their_passphrase_alone() {
    let rig = Place::new();
    course(&rig, "course", "first");
    let with_passphrase = |line: &str| {
        let mut command = rig.command(line);
        command
            .env("SATCHEL_PASSPHRASE", "correct horse")
            .output()
            .unwrap()
            .status
            .success()
    };
    assert!(with_passphrase("init repo"));
    let publish = "publish repo course --pack acme/biology --release 1.0";
    let locked = rig.run(&format!("{publish} --json"));
    assert_eq!(
        (locked.exit, locked.error_code().as_str()),
        (1, "key-locked")
    );
    assert!(with_passphrase(publish));
}

#[test]
fn lint_names_what_cannot_be_installed_everywhere() {
    let rig = Place::new();
    course(&rig, "course", "first");
    assert_eq!(rig.json("lint course")["publishable"], true);
    fs::write(rig.path("course/unit 1/SAME.txt"), "differs by case").unwrap();
    let linted = rig.run("lint course --json");
    // Where the file system itself cannot hold both, there is nothing to find.
    if fs::read_dir(rig.path("course/unit 1")).unwrap().count() == 3 {
        assert_eq!(linted.exit, 1);
        assert_eq!(linted.json()["problems"][0]["rule"], "collision");
    }
}

#[test]
fn wrong_usage_is_exit_2_and_help_is_exit_0() {
    let rig = Place::new();
    for line in [
        "",
        "fly",
        "publish repo",
        "update library biology",
        "lint course -q -v",
    ] {
        assert_eq!(rig.run(line).exit, 2, "{line:?}");
    }
    let told = rig.run("publish repo --json");
    assert_eq!((told.exit, told.error_code().as_str()), (2, "usage"));
    assert!(rig.done("--help").contains("Exit codes"));
    assert!(rig.done("--version").starts_with("satchel "));
}

#[test]
fn repository_that_is_not_reached_is_exit_3_and_the_release_stays() {
    let rig = outdated();
    fs::rename(rig.path("repo"), rig.path("gone")).unwrap();
    let ran = rig.run("update library --json");
    assert_eq!(ran.exit, 3, "{}", ran.stdout);
    assert_same_tree(&active(&rig), &rig.path("course-1.0"));
    let elsewhere = rig.run("update library acme/biology --from http://127.0.0.1:1");
    assert_eq!(elsewhere.exit, 3, "{}", elsewhere.stderr);
    assert!(
        elsewhere.stderr.contains("error: ") && elsewhere.stderr.contains("help: "),
        "{}",
        elsewhere.stderr
    );
    rig.done("update library --from gone");
    assert_same_tree(&active(&rig), &rig.path("course-1.1"));
}

#[test]
fn damaged_and_foreign_repositories_are_exit_4_and_the_release_stays() {
    let rig = outdated();
    let foreign = published();
    let elsewhere = foreign.path("repo");
    let ran = rig.run(&format!("update library --from {}", elsewhere.display()));
    assert_eq!(ran.exit, 4, "{}", ran.stderr);
    flip(&rig.path("repo/metadata/timestamp.json"));
    assert_eq!(rig.run("update library").exit, 4);
    assert_same_tree(&active(&rig), &rig.path("course-1.0"));
    rig.done("verify library");
}

#[test]
fn more_than_the_budget_is_exit_5_and_nothing_is_fetched() {
    let rig = outdated();
    let ran = rig.run("update library --budget 10 --json");
    assert_eq!((ran.exit, ran.error_code().as_str()), (5, "over-budget"));
    assert_eq!(
        fs::read_dir(rig.path("library/downloads")).unwrap().count(),
        0
    );
    rig.done("update library --budget 1MB");
}

#[test]
fn second_updater_is_exit_6() {
    let rig = outdated();
    let lock = fs::File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(rig.path("library/lock"))
        .unwrap();
    lock.lock().unwrap();
    let ran = rig.run("update library --json");
    assert_eq!((ran.exit, ran.error_code().as_str()), (6, "busy"));
    drop(lock);
    rig.done("update library");
}

#[test]
fn trial_whose_files_are_gone_is_exit_7_and_the_release_before_is_active() {
    let rig = outdated();
    rig.done("update library");
    remove(active(&rig));
    let ran = rig.run("confirm library acme/biology --json");
    assert_eq!((ran.exit, ran.error_code().as_str()), (7, "trial-failed"));
    assert_same_tree(&active(&rig), &rig.path("course-1.0"));
}

#[test]
fn damage_is_exit_8_and_named() {
    let rig = outdated();
    let lesson = active(&rig).join("unit 1").join("lesson.html");
    make_writable(&lesson);
    flip(&lesson);
    let ran = rig.run("verify library --json");
    assert_eq!(ran.exit, 8);
    let damage = &ran.json()["packs"][0]["damage"][0];
    assert_eq!(
        (&damage["path"], &damage["fault"]),
        (&"unit 1/lesson.html".into(), &"content".into())
    );
}

#[test]
fn a_delta_of_a_newer_format_is_exit_9() {
    let rig = Place::new();
    course(&rig, "old", "first");
    course(&rig, "new", "second");
    rig.done("diff old new delta");
    let mut delta = fs::read(rig.path("delta")).unwrap();
    // The version stands behind the four bytes of the magic.
    delta[4] = 200;
    fs::write(rig.path("delta"), delta).unwrap();
    let ran = rig.run("apply old delta made --json");
    assert_eq!(
        (ran.exit, ran.error_code().as_str()),
        (9, "unsupported-delta")
    );
}

#[test]
fn staging_stops_before_the_switch_and_the_next_update_fetches_no_content() {
    let rig = outdated();
    assert_eq!(rig.json("update library --stage-only")["outcome"], "staged");
    assert_same_tree(&active(&rig), &rig.path("course-1.0"));
    let switched = rig.json("update library");
    assert_eq!(
        (&switched["outcome"], &switched["route"]),
        (&"activated".into(), &Value::Null)
    );
    rig.done("revert library acme/biology");
    assert_same_tree(&active(&rig), &rig.path("course-1.0"));
}

#[test]
fn quiet_prints_results_alone_and_asking_twice_is_no_failure() {
    let rig = outdated();
    let ran = rig.run("update library -q");
    assert_eq!((ran.exit, ran.stderr.as_str()), (0, ""));
    let told = rig.done("update library");
    assert!(told.contains("up to date with 1.1"), "{told}");
    for _ in 0..2 {
        let confirmed = rig.done("confirm library acme/biology");
        assert!(confirmed.contains("1.1 is confirmed"));
    }
    let failed = rig.run("fail library acme/biology --reason none --json");
    assert_eq!(failed.error_code(), "no-trial");
}

#[test]
fn completions_man_pages_and_the_reference_are_generated() {
    let rig = Place::new();
    assert!(rig.done("completions bash").contains("satchel"));
    rig.done("man pages");
    assert!(rig.path("pages/satchel.1").is_file());
    assert!(rig.path("pages/satchel-publish.1").is_file());
    assert!(rig.done("reference").starts_with("# The command line"));
}

#[test]
fn the_demo_proves_its_claims_and_leaves_nothing() {
    let rig = Place::new();
    let mut command = rig.command("demo --json");
    for variable in ["TMPDIR", "TEMP", "TMP"] {
        command.env(variable, rig.folder());
    }
    let ran = Ran::of(command.output().unwrap());
    assert_eq!(ran.exit, 0, "{}{}", ran.stdout, ran.stderr);
    let story = ran.json();
    assert_eq!(story["steps"].as_array().unwrap().len(), 8);
    assert!(story["seconds"].is_number());
    assert_eq!(fs::read_dir(rig.folder()).unwrap().count(), 0);
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn a_content_file(rig: &Place) -> PathBuf {
    let mut path = rig.path("repo/content");
    while path.is_dir() {
        let mut entries: Vec<_> = fs::read_dir(&path)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        entries.sort();
        path = entries.remove(0);
    }
    path
}

#[allow(clippy::permissions_set_readonly_false)] // The file is removed with its folder.
fn make_writable(path: &Path) {
    let mut permissions = fs::metadata(path).unwrap().permissions();
    permissions.set_readonly(false);
    fs::set_permissions(path, permissions).unwrap();
}
