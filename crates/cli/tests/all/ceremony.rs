//! Ceremonies as operators and holders go through them: files, keys and the program alone.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::place::{Place, Ran};

/// A repository with a release, and a device that has it, in a folder of its own.
fn published() -> Place {
    let mut rig = Place::new();
    rig.write("course/index.html", "<h1>first</h1>");
    rig.done("init repo");
    rig.done("publish repo course --pack acme/biology --release 1.0");
    rig.done("enroll library --repository repo --root repo/metadata/1.root.json");
    rig.done("update library acme/biology");
    rig.done("confirm library acme/biology");
    rig.set("SATCHEL_PASSPHRASE", "correct horse");
    rig
}

/// Fails unless the verb does, with this code, and returns what it says.
#[track_caller]
fn refused(rig: &Place, line: &str, exit: i32, code: &str) -> String {
    let told = rig.told(line, exit);
    assert_eq!(told["error"]["code"], code, "{line}: {told}");
    told["error"]["message"].as_str().unwrap().to_owned()
}

/// Signs `next.json` as the holder of a signer; what names it may have blanks.
fn sign(rig: &Place, proposal: &str, signer: &str) -> Ran {
    let mut command = rig.command(&format!("root sign {proposal} --yes --json --signer"));
    Ran::of(command.arg(signer).output().unwrap())
}

/// Publishes one more release, and sees that the device follows to it.
fn device_follows(rig: &Place, label: &str) {
    rig.write("course/index.html", format!("<h1>{label}</h1>"));
    rig.done(&format!(
        "publish repo course --pack acme/biology --release {label}"
    ));
    rig.done("audit repo");
    rig.done("update library acme/biology");
    let path = rig.done("path library acme/biology");
    let page = Path::new(path.lines().last().unwrap()).join("index.html");
    assert_eq!(
        fs::read_to_string(page).unwrap(),
        format!("<h1>{label}</h1>")
    );
    rig.done("confirm library acme/biology");
}

/// Hands the root to three holders, any two of whom are enough.
fn hand_to_three(rig: &Place) {
    for name in ["alice", "bob", "carol"] {
        rig.done(&format!("keys generate {name} --keys {name}"));
    }
    let init = &rig.keys_of("root")[0];
    rig.done(&format!(
        "root propose repo --out next.json --add root=alice/alice.pub --add root=bob/bob.pub \
         --add root=carol/carol.pub --remove root={init} --threshold root=2"
    ));
    for signer in [
        "file:repo.keys/root.pem",
        "file:alice/alice.pem",
        "file:bob/bob.pem",
    ] {
        rig.done(&format!("root sign next.json --yes --signer {signer}"));
    }
    rig.done("root publish repo next.json");
}

#[test]
fn three_holders_sign_apart_and_devices_follow() {
    let rig = published();
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
        refused(
            &rig,
            &format!("root sign {copy} --keys {name}"),
            1,
            "unread",
        );
        let signed = rig.json(&format!("root sign {copy} {root} --keys {name} --yes"));
        assert_eq!(signed["signed"], serde_json::json!(["root"]));
        copies.push(copy);
    }
    let message = refused(
        &rig,
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
    device_follows(&rig, "1.1");
}

#[test]
fn a_lost_root_key_is_replaced_and_a_stolen_one_revoked() {
    let rig = published();
    hand_to_three(&rig);
    // Carol's key burnt with her house.
    let carol = rig.json("keys list repo --keys carol");
    let held = carol["roles"][0]["keys"].as_array().unwrap();
    let lost = held.iter().find(|key| key["path"].is_string()).unwrap()["key"].clone();
    let lost = lost.as_str().unwrap();
    rig.done("keys generate dave --keys dave");
    let few = refused(
        &rig,
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
    refused(
        &rig,
        &format!("keys revoke repo {stolen}"),
        1,
        "unfit-change",
    );
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
    device_follows(&rig, "1.1");
}

#[test]
fn every_role_is_rotated_by_one_line_where_the_keys_are_at_hand() {
    let rig = published();
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
    device_follows(&rig, "1.1");
}

#[test]
fn a_tenant_joins_with_keys_of_its_own_and_leaves() {
    let rig = published();
    rig.done("keys generate content operations --keys globex");
    let joined = rig.json(
        "keys delegate repo globex --content-key globex/content.pub --operations-key globex/operations.pub",
    );
    assert_eq!(joined["generated_keys"], serde_json::json!([]));
    refused(
        &rig,
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
    assert_ne!(rig.run("check library globex/physics").exit, 0);
    device_follows(&rig, "1.1");
    refused(
        &rig,
        "keys delegate repo globex --remove",
        1,
        "unfit-change",
    );
}

#[test]
fn a_key_from_the_environment_signs() {
    let mut rig = published();
    let pem = fs::read_to_string(rig.path("repo.keys/acme.pem")).unwrap();
    fs::remove_file(rig.path("repo.keys/acme.pem")).unwrap();
    rig.set("ACME_KEY", &pem);
    fs::write(rig.path("course/index.html"), "<h1>second</h1>").unwrap();
    let publish = "publish repo course --pack acme/biology --release 1.1";
    refused(&rig, publish, 1, "key-missing");
    refused(
        &rig,
        &format!("{publish} --signer env:NO_SUCH_KEY"),
        1,
        "unsigned",
    );
    rig.done(&format!("{publish} --signer env:ACME_KEY"));
    rig.done("audit repo");
}

#[test]
fn passphrases_come_from_a_file_too_and_new_keys_are_never_plain_by_accident() {
    let mut rig = published();
    rig.unset("SATCHEL_PASSPHRASE");
    refused(&rig, "keys generate alice", 1, "no-passphrase");
    fs::write(rig.path("passphrase"), "battery staple\n").unwrap();
    rig.done("keys generate alice --passphrase-file passphrase");
    let made = rig.json("keys generate machine --plain");
    assert_eq!(made["keys"][0]["encrypted"], false);
    refused(&rig, "keys generate alice --plain", 1, "key-exists");
    rig.done("root propose repo --out next.json --add root=keys/alice.pub");
    refused(
        &rig,
        "root sign next.json --keys keys --yes",
        1,
        "key-locked",
    );
    fs::write(rig.path("wrong"), "correct horse").unwrap();
    refused(
        &rig,
        "root sign next.json --keys keys --yes --passphrase-file wrong",
        1,
        "wrong-passphrase",
    );
    rig.done("root sign next.json --keys keys --yes --passphrase-file passphrase");
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let rig = published();
    rig.done("keys generate alice stranger --keys keys");
    refused(&rig, "root sign absent.json --keys keys --yes", 1, "io");
    fs::write(rig.path("lesson.json"), "lesson").unwrap();
    refused(
        &rig,
        "root sign lesson.json --keys keys --yes",
        4,
        "bad-proposal",
    );
    rig.done("root propose repo --out one.json --add root=keys/alice.pub");
    rig.done("root propose repo --out two.json --add root=keys/alice.pub --days 30");
    refused(
        &rig,
        "root merge one.json two.json --out all.json",
        4,
        "different-proposal",
    );
    refused(&rig, "root sign one.json --yes", 4, "no-key-at-hand");
    let by_stranger = "root sign one.json --yes --signer file:keys/stranger.pem";
    refused(&rig, by_stranger, 4, "no-key-at-hand");
    for proposal in ["one.json", "two.json"] {
        rig.done(&format!("root sign {proposal} --yes --keys repo.keys"));
    }
    rig.done("root publish repo one.json");
    let stale = refused(&rig, "root publish repo two.json", 4, "stale-proposal");
    assert!(
        stale.contains("expected to follow root 2, found that it follows root 1"),
        "{stale}"
    );
    let against = "--against repo/metadata/2.root.json";
    refused(
        &rig,
        &format!("root sign one.json --show {against}"),
        4,
        "stale-proposal",
    );
    refused(&rig, "keys rotate repo nobody", 1, "unknown-role");
    refused(&rig, "keys revoke repo 0123456789", 1, "unknown-key");
    let text = fs::read_to_string(rig.path("two.json")).unwrap();
    let tampered = text.replace(
        "consistent_snapshot\\\":true",
        "consistent_snapshot\\\":false",
    );
    assert_ne!(text, tampered);
    fs::write(rig.path("tampered.json"), tampered).unwrap();
    refused(&rig, "root sign tampered.json --show", 4, "bad-proposal");
    // The copy of the root before is in the file too: this time only the new one is changed.
    let mut file: Value = serde_json::from_str(&text).unwrap();
    let proposed = file["proposed"]["root"].as_str().unwrap();
    file["proposed"]["root"] = proposed
        .replace("consistent_snapshot\":true", "consistent_snapshot\":false")
        .into();
    fs::write(rig.path("tampered.json"), file.to_string()).unwrap();
    refused(&rig, "root sign tampered.json --show", 4, "tampered");
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
    let rig = published();
    rig.done("keys generate alice");
    let openssl = |arguments: &[&str]| {
        let mut command = Command::new("openssl");
        rig.place(command.args(arguments));
        let ran = Ran::of(command.output().unwrap());
        assert_eq!(ran.exit, 0, "{arguments:?}: {}", ran.stderr);
        ran.stdout
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
        .current_dir(rig.folder());
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
    device_follows(&rig, "1.1");
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
    let mut rig = published();
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
        rig.place(command.args(words));
        let ran = Ran::of(command.output().unwrap());
        assert_eq!(ran.exit, 0, "{line}: {}{}", ran.stdout, ran.stderr);
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
    let signed = sign(&rig, "next.json", hook);
    assert_eq!(signed.exit, 0, "{}", signed.stderr);
    rig.done("root publish repo next.json");
    device_follows(&rig, "1.1");
    // A PIN that is wrong is told, and nothing is signed.
    rig.done("root propose repo --out third.json");
    rig.set("PKCS11_PIN", "0000");
    let refused = sign(&rig, "third.json", hook);
    assert_eq!(
        (refused.exit, refused.error_code().as_str()),
        (1, "unsigned")
    );
}
