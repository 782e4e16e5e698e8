//! The runbooks do what they say: the commands of each page are run as they stand there.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::place::{Place, Ran};

/// What a page starts from: a repository with two releases of a course, and a device that has the
/// second one.
struct Rig {
    place: Place,
}

impl Rig {
    fn new() -> Rig {
        let mut place = Place::new();
        place.set("SATCHEL_PASSPHRASE", "a passphrase of many words");
        let program = Path::new(env!("CARGO_BIN_EXE_satchel")).parent().unwrap();
        let path = std::env::var("PATH").unwrap();
        place.set("PATH", &format!("{}:{path}", program.display()));
        let rig = Rig { place };
        rig.done("satchel init repo");
        rig.publish("1.0");
        rig.done("satchel enroll library --repository repo --root repo/metadata/1.root.json");
        rig.done("satchel update library acme/biology && satchel confirm library acme/biology");
        rig.publish("1.1");
        rig.done("satchel update library acme/biology && satchel confirm library acme/biology");
        // What the pages publish is something new.
        rig.write("3.0");
        rig
    }

    fn write(&self, label: &str) {
        let folder = self.place.path("course");
        fs::create_dir_all(&folder).unwrap();
        let line = |line: u32| format!("line {line}, {}\n", line * 7919 % 1013);
        let lesson: String = (0..2_000).map(line).collect();
        fs::write(folder.join("lesson.html"), format!("{label}\n{lesson}")).unwrap();
    }

    fn publish(&self, label: &str) {
        self.write(label);
        self.done(&format!(
            "satchel publish repo course --pack acme/biology --release {label}"
        ));
    }

    /// Runs a script with the built program as `satchel`.
    fn run(&self, script: &str) -> Ran {
        let mut command = Command::new("bash");
        self.place.place(command.args(["-c", script]));
        let command = command
            .env_remove("SOURCE_DATE_EPOCH")
            .env_remove("SATCHEL_LOG");
        Ran::of(command.stdin(Stdio::null()).output().unwrap())
    }

    #[track_caller]
    fn done(&self, script: &str) -> String {
        let ran = self.run(script);
        assert_eq!(ran.exit, 0, "{script}: {}", ran.stderr);
        ran.stdout
    }

    /// Runs every command of a page, in its order, and compares how each ends.
    #[track_caller]
    fn follow(&self, page: &str) -> String {
        let pages =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src/operations/runbooks");
        let text = fs::read_to_string(pages.join(page)).unwrap();
        let commands = commands(&text);
        assert!(commands.len() > 4, "{page} has {} commands", commands.len());
        let mut script = String::new();
        for (command, exit) in &commands {
            let quoted = command.replace('\'', "'\\''");
            script.push_str(&format!(
                "{command}\ncode=$?\nif [ $code -ne {exit} ]; then echo \"exit $code instead of {exit}: \"'{quoted}' >&2; exit 99; fi\n"
            ));
        }
        let ran = self.run(&script);
        assert_eq!(
            ran.exit, 0,
            "{page}: {}
{}",
            ran.stderr, ran.stdout
        );
        ran.stdout
    }
}

/// Returns the commands in the console blocks of a page, each with the code that it has to end with.
fn commands(page: &str) -> Vec<(String, i32)> {
    let mut commands = Vec::new();
    let mut is_inside = false;
    for line in page.lines() {
        match line.trim() {
            "```console" => is_inside = true,
            "```" => is_inside = false,
            line if is_inside => {
                if let Some(command) = line.strip_prefix("$ ") {
                    let (command, exit) = match command.split_once(" # exits ") {
                        Some((command, exit)) => (command, exit.parse().unwrap()),
                        None => (command, 0),
                    };
                    commands.push((command.to_owned(), exit));
                }
            }
            _ => {}
        }
    }
    commands
}

#[test]
fn page_of_a_bad_release_does_what_it_says() {
    let rig = Rig::new();
    let out = rig.follow("bad-release.md");
    assert!(out.contains("back to 1.0"), "{out}");
    let status = rig.place.json("status library acme/biology");
    assert_eq!(status["packs"][0]["active"]["label"], "1.0");
    let log = rig.place.json("audit repo --log");
    let told = log["log"]["history"].to_string();
    for action in ["halt", "withdraw"] {
        assert!(told.contains(&format!("\"action\":\"{action}\"")), "{told}");
    }
    assert!(told.contains("the quiz of unit 3 does not open"), "{told}");
}

#[test]
fn page_of_a_lost_key_does_what_it_says() {
    let mut rig = Rig::new();
    let holders = ["alice", "bob", "carol"];
    let ids = holders.map(|name| {
        let made = rig
            .place
            .json(&format!("keys generate {name} --keys {name}"));
        made["keys"][0]["key"].as_str().unwrap().to_owned()
    });
    let init = &rig.place.keys_of("root")[0];
    rig.done(&format!(
        "satchel root propose repo --out next.json --add root=alice/alice.pub --add root=bob/bob.pub \
         --add root=carol/carol.pub --remove root={init} --threshold root=2"
    ));
    for keys in ["repo.keys", "alice", "bob"] {
        rig.done(&format!("satchel root sign next.json --keys {keys} --yes"));
    }
    rig.done("satchel root publish repo next.json");
    let [.., lost] = ids;
    rig.place.set("LOST", &lost);
    fs::remove_file(rig.place.path("repo.keys/acme.pem")).unwrap();
    fs::remove_file(rig.place.path("repo.keys/acme.pub")).unwrap();
    fs::remove_dir_all(rig.place.path("carol")).unwrap();
    let out = rig.follow("key-lost.md");
    assert!(out.contains("root 3 replaces root 2"), "{out}");
}

#[test]
fn page_of_a_stolen_key_does_what_it_says() {
    let mut rig = Rig::new();
    let stolen = rig.place.keys_of("timestamp").remove(0);
    let seen = rig.place.json("audit repo")["log"]["head"]
        .as_str()
        .unwrap()
        .to_owned();
    rig.place.set("STOLEN", &stolen);
    rig.place.set("SEEN", &seen);
    let out = rig.follow("key-stolen.md");
    assert!(!rig.place.keys_of("timestamp").contains(&stolen));
    assert!(out.contains("after-the-theft"), "{out}");
}

#[test]
fn page_of_an_old_copy_does_what_it_says() {
    let rig = Rig::new();
    rig.done("cp -R repo cdn");
    rig.publish("1.2");
    rig.done("satchel update library acme/biology && satchel confirm library acme/biology");
    rig.follow("cdn-old.md");
}

#[test]
fn page_of_a_damaged_device_does_what_it_says() {
    let rig = Rig::new();
    let tree = rig.done("satchel path library acme/biology");
    let lesson = Path::new(tree.lines().last().unwrap()).join("lesson.html");
    // Another name may lead to the same bytes: damage is of the file.
    let mut bytes = fs::read(&lesson).unwrap();
    bytes[100] ^= 1;
    let mut mode = fs::metadata(&lesson).unwrap().permissions();
    mode.set_mode(0o644);
    fs::set_permissions(&lesson, mode).unwrap();
    fs::write(&lesson, bytes).unwrap();
    let out = rig.follow("device-damage.md");
    assert!(out.contains("confirmed"), "{out}");
}

#[test]
fn every_runbook_is_in_the_summary_and_has_a_test() {
    let here =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/all/runbooks.rs"));
    let here = here.unwrap();
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src");
    let summary = fs::read_to_string(docs.join("SUMMARY.md")).unwrap();
    for entry in fs::read_dir(docs.join("operations/runbooks")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            summary.contains(&format!("operations/runbooks/{name}")),
            "{name}"
        );
        assert!(here.contains(&format!("follow(\"{name}\")")), "{name}");
    }
}
