//! Ceremonies as operators and holders go through them: files, keys and the program alone.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// A repository with a release, and a device that has it, in a folder of its own.
struct Rig {
    place: tempfile::TempDir,
    variables: Vec<(String, String)>,
}

impl Rig {
    fn published() -> Rig {
        let mut rig = Rig {
            place: tempfile::tempdir().unwrap(),
            variables: Vec::new(),
        };
        fs::create_dir(rig.path("course")).unwrap();
        fs::write(rig.path("course/index.html"), "<h1>first</h1>").unwrap();
        rig.done("init repo");
        rig.done("publish repo course --pack acme/biology --release 1.0");
        rig.done("enroll library --repository repo --root repo/metadata/1.root.json");
        rig.done("update library acme/biology");
        rig.done("confirm library acme/biology");
        rig.set("SATCHEL_PASSPHRASE", "correct horse");
        rig
    }

    fn set(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    fn run(&self, line: &str) -> Output {
        self.run_words(&line.split_whitespace().collect::<Vec<_>>())
    }

    fn run_words(&self, words: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_satchel"))
            .args(words)
            .current_dir(self.place.path())
            .env_remove("SATCHEL_PASSPHRASE")
            .env_remove("SOURCE_DATE_EPOCH")
            .envs(self.variables.iter().cloned())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    #[track_caller]
    fn done(&self, line: &str) -> String {
        told(&self.run(line), 0, line)
    }

    #[track_caller]
    fn json(&self, line: &str) -> Value {
        let value: Value = serde_json::from_str(&self.done(&format!("{line} --json"))).unwrap();
        assert_documented(&value);
        value
    }

    /// Fails unless the verb does, with this code, and returns what it says.
    #[track_caller]
    fn refused(&self, line: &str, exit: i32, code: &str) -> String {
        let stdout = told(&self.run(&format!("{line} --json")), exit, line);
        let value: Value = serde_json::from_str(&stdout).unwrap();
        assert_eq!(value["error"]["code"], code, "{line}: {value}");
        value["error"]["message"].as_str().unwrap().to_owned()
    }

    /// Publishes one more release, and sees that the device follows to it.
    fn device_follows(&self, label: &str) {
        fs::write(self.path("course/index.html"), format!("<h1>{label}</h1>")).unwrap();
        self.done(&format!(
            "publish repo course --pack acme/biology --release {label}"
        ));
        self.done("audit repo");
        self.done("update library acme/biology");
        let path = self.done("path library acme/biology");
        let page = Path::new(path.lines().last().unwrap()).join("index.html");
        assert_eq!(
            fs::read_to_string(page).unwrap(),
            format!("<h1>{label}</h1>")
        );
        self.done("confirm library acme/biology");
    }

    /// Returns the ids of the keys of a role.
    fn keys_of(&self, role: &str) -> Vec<String> {
        let listed = self.json("keys list repo");
        let roles = listed["roles"].as_array().unwrap();
        let role = roles.iter().find(|listed| listed["role"] == role).unwrap();
        let keys = role["keys"].as_array().unwrap().iter();
        keys.map(|key| key["key"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Hands the root to three holders, any two of whom are enough.
    fn hand_to_three(&self) {
        for name in ["alice", "bob", "carol"] {
            self.done(&format!("keys generate {name} --keys {name}"));
        }
        let init = &self.keys_of("root")[0];
        self.done(&format!(
            "root propose repo --out next.json --add root=alice/alice.pub --add root=bob/bob.pub \
             --add root=carol/carol.pub --remove root={init} --threshold root=2"
        ));
        for signer in [
            "file:repo.keys/root.pem",
            "file:alice/alice.pem",
            "file:bob/bob.pem",
        ] {
            self.done(&format!("root sign next.json --yes --signer {signer}"));
        }
        self.done("root publish repo next.json");
    }
}

#[track_caller]
fn told(output: &Output, exit: i32, line: &str) -> String {
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    );
    assert_eq!(output.status.code(), Some(exit), "{line}: {stdout}{stderr}");
    stdout
}

/// Every key that a program may come to rely on stands in the book.
fn assert_documented(value: &Value) {
    match value {
        Value::Array(values) => values.iter().for_each(assert_documented),
        Value::Object(members) => {
            for (key, value) in members {
                let is_there = JSON_PAGE.contains(&format!("`{key}`"));
                assert!(is_there, "{key} is not documented");
                assert_documented(value);
            }
        }
        _ => {}
    }
}

const JSON_PAGE: &str = include_str!("../../../docs/src/json.md");

#[test]
fn three_holders_sign_apart_and_devices_follow() {
    let rig = Rig::published();
    for name in ["alice", "bob", "carol"] {
        let made = rig.json(&format!("keys generate {name} --keys {name}"));
        assert_eq!(made["keys"][0]["encrypted"], true);
    }
    let init = rig.keys_of("root").remove(0);
    rig.done(&format!(
        "root propose repo --out next.json --add root=alice/alice.pub --add root=bob/bob.pub \
         --add root=carol/carol.pub --remove root={init} --threshold root=2"
    ));
    // Each takes a copy to a machine without a network, reads it and signs.
    let mut copies = Vec::new();
    for name in ["alice", "carol"] {
        let copy = format!("{name}.json");
        fs::copy(rig.path("next.json"), rig.path(&copy)).unwrap();
        let root = "--against repo/metadata/1.root.json";
        let read = rig.done(&format!("root sign {copy} {root} --show"));
        assert!(
            read.contains("root: 2 of 3 keys must sign, it was 1 of 1 keys"),
            "{read}"
        );
        assert!(
            read.contains(&format!("key {} LEAVES", &init[..16])),
            "{read}"
        );
        rig.refused(&format!("root sign {copy} --keys {name}"), 1, "unread");
        let signed = rig.json(&format!("root sign {copy} {root} --keys {name} --yes"));
        assert_eq!(signed["signed"], serde_json::json!(["root"]));
        copies.push(copy);
    }
    let message = rig.refused(
        &format!("root publish repo {}", copies[0]),
        4,
        "too-few-signatures",
    );
    for judge in ["root 1", "root 2"] {
        assert!(
            message.contains(&format!("by the keys that {judge} names")),
            "{message}"
        );
    }
    rig.done("root sign next.json --keys repo.keys --yes");
    let merged = rig.json("root merge next.json alice.json carol.json --out all.json");
    assert_eq!(merged["complete"], true);
    let published = rig.json("root publish repo all.json");
    assert_eq!(
        (&published["root"], &published["seamless"]),
        (&2.into(), &true.into())
    );
    assert_eq!(rig.keys_of("root").len(), 3);
    rig.device_follows("1.1");
}

#[test]
fn a_lost_root_key_is_replaced_and_a_stolen_one_revoked() {
    let rig = Rig::published();
    rig.hand_to_three();
    // Carol's key burnt with her house.
    let carol = rig.json("keys list repo --keys carol");
    let held = carol["roles"][0]["keys"].as_array().unwrap();
    let lost = held.iter().find(|key| key["path"].is_string()).unwrap()["key"].clone();
    let lost = lost.as_str().unwrap();
    rig.done("keys generate dave --keys dave");
    let few = rig.refused(
        &format!("keys rotate repo root --old {lost} --new dave/dave.pub"),
        4,
        "too-few-signatures",
    );
    assert!(few.contains("expected 2 signatures"), "{few}");
    rig.done(&format!(
        "keys rotate repo root --old {lost} --new dave/dave.pub --propose lost.json"
    ));
    for name in ["alice", "bob"] {
        rig.done(&format!("root sign lost.json --keys {name} --yes"));
    }
    rig.done("root publish repo lost.json");
    assert!(!rig.keys_of("root").iter().any(|key| key == lost));
    // Somebody has the timestamp's key.
    let stolen = rig.keys_of("timestamp").remove(0);
    rig.done("keys generate timestamp-2 --keys repo.keys --plain");
    rig.refused(&format!("keys revoke repo {stolen}"), 1, "unfit-change");
    rig.done(&format!(
        "keys revoke repo {stolen} --new repo.keys/timestamp-2.pub --propose stolen.json"
    ));
    for name in ["bob", "dave"] {
        rig.done(&format!("root sign stolen.json --keys {name} --yes"));
    }
    fs::remove_file(rig.path("repo.keys/timestamp.pem")).unwrap();
    let published = rig.json("root publish repo stolen.json");
    assert_eq!(published["seamless"], false);
    assert!(!rig.keys_of("timestamp").contains(&stolen));
    rig.device_follows("1.1");
}

#[test]
fn every_role_is_rotated_by_one_line_where_the_keys_are_at_hand() {
    let rig = Rig::published();
    for role in [
        "timestamp",
        "snapshot",
        "targets",
        "acme",
        "acme-operations",
        "root",
    ] {
        let before = rig.keys_of(role);
        let rotated = rig.json(&format!("keys rotate repo {role}"));
        assert_eq!(rotated["seamless"], true);
        assert_eq!(
            rotated["generated_keys"],
            serde_json::json!([format!("{role}-2")])
        );
        assert_ne!(rig.keys_of(role), before);
        fs::remove_file(rig.path(&format!("repo.keys/{role}.pem"))).unwrap();
    }
    rig.device_follows("1.1");
}

#[test]
fn a_tenant_joins_with_keys_of_its_own_and_leaves() {
    let rig = Rig::published();
    rig.done("keys generate content operations --keys globex");
    let joined = rig.json(
        "keys delegate repo globex --content-key globex/content.pub --operations-key globex/operations.pub",
    );
    assert_eq!(joined["generated_keys"], serde_json::json!([]));
    rig.refused(
        "publish repo course --pack globex/physics --release 1.0",
        1,
        "key-missing",
    );
    rig.done(
        "publish repo course --pack globex/physics --release 1.0 --signer globex/content.pem \
         --signer file:globex/operations.pem",
    );
    rig.done("audit repo");
    rig.done("update library globex/physics");
    rig.done("keys delegate repo globex --remove");
    rig.done("audit repo");
    let (exit, code) = (4, "untrusted");
    let gone = rig.run("check library globex/physics --json");
    assert_ne!(gone.status.code(), Some(0), "{exit} {code}");
    rig.device_follows("1.1");
    rig.refused("keys delegate repo globex --remove", 1, "unfit-change");
}

#[test]
fn a_key_from_the_environment_signs() {
    let mut rig = Rig::published();
    let pem = fs::read_to_string(rig.path("repo.keys/acme.pem")).unwrap();
    fs::remove_file(rig.path("repo.keys/acme.pem")).unwrap();
    rig.set("ACME_KEY", &pem);
    fs::write(rig.path("course/index.html"), "<h1>second</h1>").unwrap();
    let publish = "publish repo course --pack acme/biology --release 1.1";
    rig.refused(publish, 1, "key-missing");
    rig.refused(
        &format!("{publish} --signer env:NO_SUCH_KEY"),
        1,
        "unsigned",
    );
    rig.done(&format!("{publish} --signer env:ACME_KEY"));
    rig.done("audit repo");
}

#[test]
fn passphrases_come_from_a_file_too_and_new_keys_are_never_plain_by_accident() {
    let mut rig = Rig::published();
    rig.variables.clear();
    rig.refused("keys generate alice", 1, "no-passphrase");
    fs::write(rig.path("passphrase"), "battery staple\n").unwrap();
    rig.done("keys generate alice --passphrase-file passphrase");
    let made = rig.json("keys generate machine --plain");
    assert_eq!(made["keys"][0]["encrypted"], false);
    rig.refused("keys generate alice --plain", 1, "key-exists");
    rig.done("root propose repo --out next.json --add root=keys/alice.pub");
    rig.refused("root sign next.json --keys keys --yes", 1, "key-locked");
    fs::write(rig.path("wrong"), "correct horse").unwrap();
    rig.refused(
        "root sign next.json --keys keys --yes --passphrase-file wrong",
        1,
        "wrong-passphrase",
    );
    rig.done("root sign next.json --keys keys --yes --passphrase-file passphrase");
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let rig = Rig::published();
    rig.done("keys generate alice stranger --keys keys");
    rig.refused("root sign absent.json --keys keys --yes", 1, "io");
    fs::write(rig.path("lesson.json"), "lesson").unwrap();
    rig.refused("root sign lesson.json --keys keys --yes", 4, "bad-proposal");
    rig.done("root propose repo --out one.json --add root=keys/alice.pub");
    rig.done("root propose repo --out two.json --add root=keys/alice.pub --days 30");
    rig.refused(
        "root merge one.json two.json --out all.json",
        4,
        "different-proposal",
    );
    rig.refused("root sign one.json --yes", 4, "no-key-at-hand");
    let by_stranger = "root sign one.json --yes --signer file:keys/stranger.pem";
    rig.refused(by_stranger, 4, "no-key-at-hand");
    for proposal in ["one.json", "two.json"] {
        rig.done(&format!("root sign {proposal} --yes --keys repo.keys"));
    }
    rig.done("root publish repo one.json");
    let stale = rig.refused("root publish repo two.json", 4, "stale-proposal");
    assert!(
        stale.contains("expected to follow root 2, found that it follows root 1"),
        "{stale}"
    );
    let against = "--against repo/metadata/2.root.json";
    rig.refused(
        &format!("root sign one.json --show {against}"),
        4,
        "stale-proposal",
    );
    rig.refused("keys rotate repo nobody", 1, "unknown-role");
    rig.refused("keys revoke repo 0123456789", 1, "unknown-key");
    let text = fs::read_to_string(rig.path("two.json")).unwrap();
    let tampered = text.replace(
        "consistent_snapshot\\\":true",
        "consistent_snapshot\\\":false",
    );
    assert_ne!(text, tampered);
    fs::write(rig.path("tampered.json"), tampered).unwrap();
    rig.refused("root sign tampered.json --show", 4, "bad-proposal");
    // The copy of the root before is in the file too: this time only the new one is changed.
    let mut file: Value = serde_json::from_str(&text).unwrap();
    let proposed = file["proposed"]["root"].as_str().unwrap();
    file["proposed"]["root"] = proposed
        .replace("consistent_snapshot\":true", "consistent_snapshot\":false")
        .into();
    fs::write(rig.path("tampered.json"), file.to_string()).unwrap();
    rig.refused("root sign tampered.json --show", 4, "tampered");
}

/// Says past the capture of the test runner, so that it is seen, that something is not installed.
fn skipped(what: &str) {
    let _ = writeln!(std::io::stderr(), "\nskipped: {what} is not installed");
}

fn is_there(program: &str) -> bool {
    let mut command = Command::new(program);
    let run = command
        .arg("--help")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    run.status().is_ok()
}

#[test]
fn openssl_decrypts_a_generated_key_and_its_own_keys_are_taken() {
    if !is_there("openssl") {
        return skipped("openssl");
    }
    let rig = Rig::published();
    rig.done("keys generate alice");
    let openssl = |arguments: &[&str]| {
        let mut command = Command::new("openssl");
        let output = command
            .args(arguments)
            .current_dir(rig.place.path())
            .output()
            .unwrap();
        told(&output, 0, &arguments.join(" "))
    };
    let pass = "pass:correct horse";
    let of_private = openssl(&["pkey", "-in", "keys/alice.pem", "-passin", pass, "-pubout"]);
    assert_eq!(
        of_private,
        fs::read_to_string(rig.path("keys/alice.pub")).unwrap()
    );
    let mut wrong = Command::new("openssl");
    let wrong = wrong
        .args([
            "pkey",
            "-in",
            "keys/alice.pem",
            "-passin",
            "pass:wrong",
            "-noout",
        ])
        .current_dir(rig.place.path());
    assert!(!wrong.output().unwrap().status.success());
    // The other way round.
    openssl(&[
        "genpkey",
        "-algorithm",
        "ed25519",
        "-aes256",
        "-pass",
        pass,
        "-out",
        "bob.pem",
    ]);
    openssl(&[
        "pkey", "-in", "bob.pem", "-passin", pass, "-pubout", "-out", "bob.pub",
    ]);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(rig.path("bob.pem"), fs::Permissions::from_mode(0o600)).unwrap();
    }
    rig.done("root propose repo --out next.json --add root=bob.pub --threshold root=2");
    rig.done("root sign next.json --yes --keys repo.keys");
    rig.done("root sign next.json --yes --signer file:bob.pem");
    rig.done("root publish repo next.json");
    rig.device_follows("1.1");
}

#[cfg(unix)]
#[test]
fn a_token_signs_through_the_example_hook() {
    let modules = [
        "/usr/lib/softhsm/libsofthsm2.so",
        "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
        "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    ];
    let module = modules.into_iter().find(|path| Path::new(path).is_file());
    let mut python = Command::new("/usr/bin/python3");
    let imports = python
        .args(["-c", "import PyKCS11"])
        .stderr(Stdio::null())
        .status();
    let tools = ["softhsm2-util", "pkcs11-tool"];
    let (Some(module), true, true) = (
        module,
        tools.into_iter().all(is_there),
        imports.is_ok_and(|status| status.success()),
    ) else {
        return skipped("softhsm2, opensc or python3-pykcs11");
    };
    let mut rig = Rig::published();
    fs::create_dir(rig.path("tokens")).unwrap();
    let tokens = rig.path("tokens");
    let settings = format!("directories.tokendir = {}\n", tokens.display());
    fs::write(rig.path("softhsm.conf"), settings).unwrap();
    let settings = rig.path("softhsm.conf").display().to_string();
    for (name, value) in [
        ("SOFTHSM2_CONF", settings.as_str()),
        ("PKCS11_MODULE", module),
        ("PKCS11_TOKEN", "satchel"),
        ("PKCS11_KEY", "root"),
        ("PKCS11_PIN", "1234"),
    ] {
        rig.set(name, value);
    }
    for line in [
        "softhsm2-util --init-token --free --label satchel --pin 1234 --so-pin 5678".to_owned(),
        format!(
            "pkcs11-tool --module {module} --token-label satchel --login --pin 1234 --keypairgen \
             --key-type EC:edwards25519 --label root --id 01"
        ),
        format!(
            "pkcs11-tool --module {module} --token-label satchel --read-object --type pubkey \
             --label root --output-file token.pub"
        ),
    ] {
        let mut words = line.split_whitespace();
        let mut command = Command::new(words.next().unwrap());
        command.args(words).current_dir(rig.place.path());
        let output = command
            .envs(rig.variables.iter().cloned())
            .output()
            .unwrap();
        told(&output, 0, &line);
    }
    if !fs::read(rig.path("token.pub"))
        .unwrap()
        .starts_with(b"-----BEGIN")
    {
        return skipped("a pkcs11-tool that writes public keys in PEM");
    }
    rig.done("root propose repo --out next.json --add root=token.pub --threshold root=2");
    rig.done("root sign next.json --yes --keys repo.keys");
    let hook = concat!(
        "exec:",
        env!("CARGO_MANIFEST_DIR"),
        "/../../examples/hooks/pkcs11"
    );
    let signed = rig.run_words(&["root", "sign", "next.json", "--yes", "--signer", hook]);
    told(&signed, 0, "root sign");
    rig.done("root publish repo next.json");
    rig.device_follows("1.1");
    // A PIN that is wrong is told, and nothing is signed.
    rig.done("root propose repo --out third.json");
    rig.set("PKCS11_PIN", "0000");
    let words = [
        "root",
        "sign",
        "third.json",
        "--yes",
        "--json",
        "--signer",
        hook,
    ];
    let refused = rig.run_words(&words);
    let refused = told(&refused, 1, "root sign");
    assert!(refused.contains("\"code\":\"unsigned\""), "{refused}");
}
