//! The program as scripts see it: verbs, output and exit codes.

#![allow(clippy::unwrap_used, clippy::panic)] // Helpers of tests are tests as well.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

/// A repository, a library and whatever a test adds, in a folder of its own.
struct Rig {
    place: tempfile::TempDir,
}

struct Ran {
    exit: i32,
    stdout: String,
    stderr: String,
}

impl Ran {
    /// Returns the one JSON object that was printed.
    fn json(&self) -> Value {
        let value: Value = serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {:?} {}", self.stdout, self.stderr));
        assert_eq!(value["schema"], 1, "{value}");
        assert_documented(&value);
        value
    }

    fn error_code(&self) -> String {
        self.json()["error"]["code"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }
}

impl Rig {
    fn new() -> Rig {
        Rig {
            place: tempfile::tempdir().unwrap(),
        }
    }

    /// A rig whose repository offers release 1.0 of `acme/biology`, and whose library is enrolled.
    fn published() -> Rig {
        let rig = Rig::new();
        rig.course("course-1.0", "first");
        rig.done("init repo");
        rig.done("publish repo course-1.0 --pack acme/biology --release 1.0");
        rig.done("enroll library --repository repo --root repo/metadata/1.root.json --json")
            .json();
        rig
    }

    /// A rig whose library has 1.0 confirmed, while the repository offers 1.1.
    fn outdated() -> Rig {
        let rig = Rig::published();
        rig.done("update library acme/biology");
        rig.done("confirm library acme/biology");
        rig.course("course-1.1", "second");
        rig.done("publish repo course-1.1 --pack acme/biology --release 1.1");
        rig
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    fn course(&self, name: &str, edit: &str) {
        let folder = self.path(name);
        fs::create_dir_all(folder.join("unit 1")).unwrap();
        let lesson: String = (0..3_000)
            .map(|line| format!("line {line}, {}\n", line * 7919 % 1013))
            .collect();
        fs::write(folder.join("index.html"), format!("<h1>{edit}</h1>")).unwrap();
        fs::write(folder.join("unit 1/lesson.html"), lesson + edit).unwrap();
        fs::write(folder.join("unit 1/same.txt"), "the same in each release").unwrap();
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

    fn run(&self, line: &str) -> Ran {
        let output = self.command(line).output().unwrap();
        Ran {
            exit: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn done(&self, line: &str) -> Ran {
        let ran = self.run(line);
        assert_eq!(ran.exit, 0, "{line}: {}{}", ran.stdout, ran.stderr);
        ran
    }

    /// Returns the folder that `path` prints on its last line.
    fn active(&self) -> PathBuf {
        let ran = self.done("path library acme/biology");
        PathBuf::from(ran.stdout.lines().last().unwrap())
    }

    fn serve(&self, folder: &str) -> Served {
        let mut command = self.command(&format!("serve {folder} --listen 127.0.0.1:0"));
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let url = line
            .trim()
            .strip_prefix("listening on ")
            .unwrap()
            .to_owned();
        Served { child, url }
    }
}

struct Served {
    child: Child,
    url: String,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Every key that a program may come to rely on stands in the book.
fn assert_documented(value: &Value) {
    match value {
        Value::Array(values) => values.iter().for_each(assert_documented),
        Value::Object(members) => {
            for (key, value) in members {
                assert!(
                    JSON_PAGE.contains(&format!("`{key}`")),
                    "{key} is not documented"
                );
                // Those of a catalogue, and of what a demo measured, have pages of their own.
                if !(key == "figures" || key == "releases" && value.is_array()) {
                    assert_documented(value);
                }
            }
        }
        _ => {}
    }
}

const JSON_PAGE: &str = include_str!("../../../docs/src/json.md");

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
    let rig = Rig::new();
    rig.course("course-1.0", "first");
    let made = rig.done("init repo --json").json();
    assert_eq!(made["keys"], "repo.keys");
    let first = rig
        .done("publish repo course-1.0 --pack acme/biology --release 1.0 --json")
        .json();
    assert_eq!(
        (&first["outcome"], &first["sequence"]),
        (&"new".into(), &1.into())
    );
    let served = rig.serve("repo");
    rig.done(&format!(
        "enroll library --repository {} --root repo/metadata/1.root.json",
        served.url
    ));
    rig.done("update library acme/biology");
    assert_same_tree(&rig.active(), &rig.path("course-1.0"));
    rig.done("confirm library acme/biology");

    rig.course("course-1.1", "second");
    rig.done("publish repo course-1.1 --pack acme/biology --release 1.1");
    let check = rig.done("check library --json").json();
    assert_eq!(
        (&check["offer"], &check["release"]["label"]),
        (&"release".into(), &"1.1".into())
    );
    assert!(
        check["plan"]["fetch_bytes"].as_u64().unwrap() < 2_000,
        "{check}"
    );
    let updated = rig.done("update library --json").json();
    assert_eq!(updated["outcome"], "activated");
    assert_eq!(updated["route"]["from"], first["manifest"]);
    assert_same_tree(&rig.active(), &rig.path("course-1.1"));
    rig.done("verify library");

    let failed = rig
        .done("fail library acme/biology --reason broken --json")
        .json();
    assert_eq!(failed["active"]["label"], "1.0");
    rig.done("path library acme/biology --json").json();
    rig.done("verify library --json").json();
    assert_same_tree(&rig.active(), &rig.path("course-1.0"));
    let status = rig.done("status library acme/biology --json").json();
    assert_eq!(status["packs"][0]["refused"][0]["reason"], "broken");
    assert_eq!(
        rig.done("update library --json").json()["outcome"],
        "withheld"
    );
}

#[test]
fn publishing_the_same_content_changes_nothing_and_a_label_is_used_once() {
    let rig = Rig::published();
    let again = rig
        .done("publish repo course-1.0 --pack acme/biology --release 1.0.1 --json")
        .json();
    assert_eq!(again["outcome"], "unchanged");
    rig.course("course-1.1", "second");
    let taken = rig.run("publish repo course-1.1 --pack acme/biology --release 1.0 --json");
    assert_eq!(
        (taken.exit, taken.error_code().as_str()),
        (1, "label-exists")
    );
}

#[test]
fn repositories_are_listed_shown_and_audited() {
    let rig = Rig::outdated();
    assert_eq!(
        rig.done("list repo --json").json()["packs"][0]["latest"],
        "1.1"
    );
    let shown = rig.done("show repo acme/biology --json").json();
    assert_eq!(shown["releases"].as_array().unwrap().len(), 2);
    let one = rig.done("show repo acme/biology@1.1");
    assert!(
        one.stdout.contains("A DEVICE WITH") && one.stdout.contains("nothing"),
        "{}",
        one.stdout
    );
    assert_eq!(
        rig.run("show repo acme/biology@2 --json").error_code(),
        "unknown-label"
    );
    assert_eq!(
        rig.run("show repo acme/physics --json").error_code(),
        "unknown-pack"
    );
    assert_eq!(rig.done("audit repo --apply --json").json()["sound"], true);
    flip(&a_content_file(&rig));
    let audited = rig.run("audit repo --json");
    assert_eq!((audited.exit, &audited.json()["sound"]), (8, &false.into()));
}

#[test]
fn the_same_folder_keys_and_time_give_the_same_repository() {
    let rig = Rig::new();
    rig.course("course", "first");
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
    let rig = Rig::new();
    rig.course("course", "first");
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
    let rig = Rig::new();
    rig.course("course", "first");
    assert_eq!(rig.done("lint course --json").json()["publishable"], true);
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
    let rig = Rig::new();
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
    assert!(rig.done("--help").stdout.contains("Exit codes"));
    assert!(rig.done("--version").stdout.starts_with("satchel "));
}

#[test]
fn repository_that_is_not_reached_is_exit_3_and_the_release_stays() {
    let rig = Rig::outdated();
    fs::rename(rig.path("repo"), rig.path("gone")).unwrap();
    let ran = rig.run("update library --json");
    assert_eq!(ran.exit, 3, "{}", ran.stdout);
    assert_same_tree(&rig.active(), &rig.path("course-1.0"));
    let elsewhere = rig.run("update library acme/biology --from http://127.0.0.1:1");
    assert_eq!(elsewhere.exit, 3, "{}", elsewhere.stderr);
    assert!(
        elsewhere.stderr.contains("error: ") && elsewhere.stderr.contains("help: "),
        "{}",
        elsewhere.stderr
    );
    rig.done("update library --from gone");
    assert_same_tree(&rig.active(), &rig.path("course-1.1"));
}

#[test]
fn damaged_and_foreign_repositories_are_exit_4_and_the_release_stays() {
    let rig = Rig::outdated();
    let foreign = Rig::published();
    let elsewhere = foreign.path("repo");
    let ran = rig.run(&format!("update library --from {}", elsewhere.display()));
    assert_eq!(ran.exit, 4, "{}", ran.stderr);
    flip(&rig.path("repo/metadata/timestamp.json"));
    assert_eq!(rig.run("update library").exit, 4);
    assert_same_tree(&rig.active(), &rig.path("course-1.0"));
    rig.done("verify library");
}

#[test]
fn more_than_the_budget_is_exit_5_and_nothing_is_fetched() {
    let rig = Rig::outdated();
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
    let rig = Rig::outdated();
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
    let rig = Rig::outdated();
    rig.done("update library");
    remove_tree(&rig.active());
    let ran = rig.run("confirm library acme/biology --json");
    assert_eq!((ran.exit, ran.error_code().as_str()), (7, "trial-failed"));
    assert_same_tree(&rig.active(), &rig.path("course-1.0"));
}

#[test]
fn damage_is_exit_8_and_named() {
    let rig = Rig::outdated();
    let lesson = rig.active().join("unit 1").join("lesson.html");
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
    let rig = Rig::new();
    rig.course("old", "first");
    rig.course("new", "second");
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
    let rig = Rig::outdated();
    assert_eq!(
        rig.done("update library --stage-only --json").json()["outcome"],
        "staged"
    );
    assert_same_tree(&rig.active(), &rig.path("course-1.0"));
    let switched = rig.done("update library --json").json();
    assert_eq!(
        (&switched["outcome"], &switched["route"]),
        (&"activated".into(), &Value::Null)
    );
    rig.done("revert library acme/biology");
    assert_same_tree(&rig.active(), &rig.path("course-1.0"));
}

#[test]
fn quiet_prints_results_alone_and_asking_twice_is_no_failure() {
    let rig = Rig::outdated();
    let ran = rig.done("update library -q");
    assert_eq!(ran.stderr, "");
    let ran = rig.done("update library");
    assert!(ran.stdout.contains("up to date with 1.1"), "{}", ran.stdout);
    for _ in 0..2 {
        let confirmed = rig.done("confirm library acme/biology");
        assert!(confirmed.stdout.contains("1.1 is confirmed"));
    }
    let failed = rig.run("fail library acme/biology --reason none --json");
    assert_eq!(failed.error_code(), "no-trial");
}

#[test]
fn completions_man_pages_and_the_reference_are_generated() {
    let rig = Rig::new();
    assert!(rig.done("completions bash").stdout.contains("satchel"));
    rig.done("man pages");
    assert!(rig.path("pages/satchel.1").is_file());
    assert!(rig.path("pages/satchel-publish.1").is_file());
    assert!(
        rig.done("reference")
            .stdout
            .starts_with("# The command line")
    );
}

#[test]
fn the_demo_proves_its_claims_and_leaves_nothing() {
    let rig = Rig::new();
    let mut command = rig.command("demo --json");
    for variable in ["TMPDIR", "TEMP", "TMP"] {
        command.env(variable, rig.place.path());
    }
    let output = command.output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{told}");
    let story: Value = serde_json::from_str(&told).unwrap();
    assert_documented(&story);
    assert_eq!(story["steps"].as_array().unwrap().len(), 8);
    assert!(
        story["seconds"].as_f64().unwrap() < 60.0,
        "{}",
        story["seconds"]
    );
    assert_eq!(fs::read_dir(rig.place.path()).unwrap().count(), 0);
}

/// Removes a folder that may be read-only, and so may be what lies in it.
fn remove_tree(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        make_writable(&path);
        if path.is_dir() {
            remove_tree(&path);
        }
    }
    make_writable(folder);
    fs::remove_dir_all(folder).unwrap();
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn a_content_file(rig: &Rig) -> PathBuf {
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
