//! What an auditor, a teacher and support staff ask, and the program's answers.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::Value;

use crate::place::{Place, Ran};

/// A repository with one release on 1 December, with notes in two languages.
fn noted() -> Place {
    let rig = Place::new();
    done_at(&rig, "1796083200", "init repo");
    rig.write("en.md", "New: cells");
    rig.write("fr.md", "Nouveau : les cellules");
    write(&rig, "1.0");
    done_at(
        &rig,
        "1796083200",
        "publish repo course --pack acme/biology --release 1.0 --notes en=en.md --notes fr=fr.md",
    );
    rig
}

/// The same, with a second release from 24 December on for a tenth of the devices.
fn shared() -> Place {
    let rig = noted();
    write(&rig, "1.1");
    done_at(
        &rig,
        "1798070400",
        "publish repo course --pack acme/biology --release 1.1 --share 10%",
    );
    rig
}

fn write(rig: &Place, label: &str) {
    rig.write("course/index.html", format!("<h1>{label}</h1>"));
    rig.write("course/unit 1/film.mp4", vec![7; 50_000]);
}

fn run_at(rig: &Place, epoch: &str, line: &str) -> Ran {
    let mut command = rig.command(line);
    Ran::of(command.env("SOURCE_DATE_EPOCH", epoch).output().unwrap())
}

#[track_caller]
fn done_at(rig: &Place, epoch: &str, line: &str) -> Ran {
    let ran = run_at(rig, epoch, line);
    assert_eq!(ran.exit, 0, "{line}: {}{}", ran.stdout, ran.stderr);
    ran
}

#[test]
fn auditor_hears_what_was_offered_to_whom_and_who_signed_it() {
    let rig = shared();
    let at = |time: &str, more: &str| {
        rig.json(&format!("show repo acme/biology --at {time} {more}"))["channels"].clone()
    };
    assert_eq!(at("2026-11-30T00:00:00Z", ""), Value::Array(Vec::new()));
    let first = &at("2026-12-10T00:00:00Z", "")[0];
    assert_eq!(first["release"], "1.0");
    assert_eq!(
        (&first["since"], &first["until"]),
        (
            &"2026-12-01T00:00:00Z".into(),
            &"2026-12-24T00:00:00Z".into()
        )
    );
    assert_eq!(first["rollout_signed_by"].as_array().unwrap().len(), 1);
    assert_ne!(first["rollout_signed_by"], first["release_signed_by"]);
    let manifest = first["manifest"].clone();
    let later = at("2027-01-01T00:00:00Z", "--device-bucket 1000");
    assert_eq!(
        (&later[0]["release"], &later[0]["offered"]),
        (&"1.1".into(), &manifest)
    );
    let inside = at("2027-01-01T00:00:00Z", "--device-bucket 999");
    assert_eq!(inside[0]["offered"], inside[0]["manifest"]);
    let device = at(
        "2027-01-01T00:00:00Z",
        "--device 00112233445566778899aabbccddeeff",
    );
    assert!(device[0]["bucket"].as_u64().unwrap() < 10_000);
    let told = rig.done("show repo acme/biology --at 2026-12-10T00:00:00Z");
    assert!(
        told.contains("offered    acme/biology@1.0 to 100%"),
        "{told}"
    );
    let told = rig.done("show repo acme/biology --at 2026-11-01T00:00:00Z");
    assert!(told.contains("before the log began"), "{told}");

    let log = done_at(&rig, "1798070400", "audit repo --log").stdout;
    assert!(
        log.contains("publish acme/biology@1.1: stable offers 1.1 to 10%"),
        "{log}"
    );
    let audited = done_at(&rig, "1798070400", "audit repo --log --json").json();
    assert_eq!(audited["log"]["history"].as_array().unwrap().len(), 3);
    let head = audited["log"]["head"].as_str().unwrap();
    done_at(&rig, "1798070400", &format!("audit repo --seen {head}"));
    fs::remove_file(rig.path("repo/audit/3.json")).unwrap();
    let Ran { exit, stdout, .. } = run_at(&rig, "1798070400", "audit repo");
    assert!(
        exit == 8 && stdout.contains("the log's tail behind entry 2 is lost"),
        "{stdout}"
    );
    rig.ends("show repo acme/biology --at 2026-12-10T00:00:00Z", 8);
}

#[test]
fn auditor_hears_where_the_log_tells_of_what_the_repository_does_not_hold() {
    let rig = noted();
    let line = "show repo acme/biology --at 2026-12-10T00:00:00Z";
    let told = rig.json(line);
    assert_eq!(told["contradictions"], Value::Array(Vec::new()));
    let manifest = told["channels"][0]["manifest"].as_str().unwrap();
    let mut folders = vec![rig.path("repo")];
    let mut removed = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_str().unwrap().replace('/', "").contains(manifest) {
                fs::remove_file(&path).unwrap();
                removed += 1;
            }
        }
    }
    assert!(removed > 0);
    let told = rig.ends(line, 8);
    assert!(
        told.contains("contradiction: the manifest of 1.0: expected what audit/2.json tells of"),
        "{told}"
    );
}

#[test]
fn notes_reach_the_reader_in_the_nearest_language_without_a_network() {
    let rig = noted();
    rig.done("enroll library --repository repo --root repo/metadata/1.root.json");
    done_at(&rig, "1796083200", "export repo stick");
    rig.done("update library acme/biology --from stick");
    fs::rename(rig.path("repo"), rig.path("away")).unwrap();
    fs::rename(rig.path("stick"), rig.path("away-too")).unwrap();
    let notes = |more: &str| rig.json(&format!("notes library acme/biology {more}"));
    assert_eq!(notes("--language fr-ca")["text"], "Nouveau : les cellules");
    assert_eq!(notes("--language sw --language fr")["language"], "fr");
    assert_eq!(notes("")["text"], "New: cells");
    assert_eq!(notes("--language sw")["language"], "en");
    fs::rename(rig.path("away"), rig.path("repo")).unwrap();
    assert_eq!(
        rig.done("show repo acme/biology@1.0 --notes fr").trim(),
        "Nouveau : les cellules"
    );
    write(&rig, "plain");
    let line = "publish repo course --pack acme/biology --release 1.1 --notes en.md";
    done_at(&rig, "1796083200", line);
    rig.done("update library acme/biology");
    assert_eq!(notes("--language fr")["text"], "New: cells");
    assert_eq!(notes("--language fr")["language"], Value::Null);
    write(&rig, "silent");
    done_at(
        &rig,
        "1796083200",
        "publish repo course --pack acme/biology --release 1.2",
    );
    rig.done("update library acme/biology");
    assert_eq!(notes("")["text"], Value::Null);
    let kept = fs::read_dir(rig.path("library/packs/acme/biology/notes")).unwrap();
    assert!(kept.count() <= 2);
}

#[test]
fn device_tells_what_became_of_its_packs() {
    let rig = noted();
    rig.done("enroll library --repository repo --root repo/metadata/1.root.json");
    rig.done("update library acme/biology");
    rig.done("confirm library acme/biology");
    write(&rig, "1.1");
    done_at(
        &rig,
        "1796083200",
        "publish repo course --pack acme/biology --release 1.1",
    );
    rig.done("update library acme/biology");
    let program = env!("CARGO_BIN_EXE_satchel");
    rig.done(&format!("open library acme/biology -- {program} --version"));
    rig.done("fail library acme/biology --reason quiz");
    let status = rig.json("status library acme/biology --history");
    let history = status["packs"][0]["history"].as_array().unwrap();
    let told: Vec<(&str, &str)> = history
        .iter()
        .map(|event| {
            (
                event["event"].as_str().unwrap(),
                event["release"]["label"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("activated", "1.0"),
            ("confirmed", "1.0"),
            ("activated", "1.1"),
            ("reverted", "1.1")
        ]
    );
    let last = history.last().unwrap();
    assert_eq!(
        (&last["reason"], &last["other"]["label"]),
        (&"quiz".into(), &"1.0".into())
    );
    assert!(
        last["content_version"]
            .as_str()
            .unwrap()
            .starts_with("acme/biology@1.1#")
    );
    assert!(
        rig.done("status library --history")
            .contains("back to 1.0  quiz")
    );
    assert!(
        rig.json("status library")["packs"][0]
            .get("history")
            .is_none()
    );
}

#[test]
fn logs_have_the_documented_names() {
    let rig = noted();
    rig.done("enroll library --repository repo --root repo/metadata/1.root.json");
    rig.done("update library acme/biology --log-json device.log");
    rig.done("confirm library acme/biology --log-json device.log");
    write(&rig, "1.1");
    rig.done("publish repo course --pack acme/biology --release 1.1 --log-json publisher.log");
    let page = include_str!("../../../../docs/src/operations/logs.md");
    let messages = |name: &str| -> Vec<String> {
        let text = fs::read_to_string(rig.path(name)).unwrap();
        let lines = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines
            .map(|line| line["message"].as_str().unwrap().to_owned())
            .inspect(|name| assert!(page.contains(&format!("`{name}`")), "{name}"))
            .collect()
    };
    let device = messages("device.log");
    for name in [
        "update",
        "refresh",
        "install",
        "fetch",
        "stage",
        "activated",
        "confirmed",
    ] {
        assert!(device.iter().any(|told| told == name), "{name}: {device:?}");
    }
    let publisher = messages("publisher.log");
    for name in ["publish", "publish.draft", "publish.store", "log.entry"] {
        assert!(
            publisher.iter().any(|told| told == name),
            "{name}: {publisher:?}"
        );
    }
    let Ran { exit, stderr, .. } = rig.run("list nowhere --log-json -");
    assert!(
        exit != 0 && stderr.contains("\"level\":\"error\""),
        "{stderr}"
    );
}

#[test]
fn provenance_and_contents_are_what_their_ecosystems_read() {
    let rig = noted();
    let sbom = rig.done("show repo acme/biology@1.0 --sbom");
    let statement = rig.done("show repo acme/biology@1.0 --provenance");
    let (list, told): (Value, Value) = (
        serde_json::from_str(&sbom).unwrap(),
        serde_json::from_str(&statement).unwrap(),
    );
    let names: Vec<_> = list["components"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| file["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["index.html", "unit 1/film.mp4"]);
    assert_eq!(list["components"][1]["mime-type"], "video/mp4");
    let shown = rig.json("show repo acme/biology@1.0");
    let manifest = &shown["releases"][0]["manifest"]["digest"];
    assert_eq!(&told["subject"][0]["digest"]["blake3"], manifest);
    let location = |digest: &str| rig.path("repo/content").join(&digest[..2]).join(digest);
    let digest = manifest.as_str().unwrap();
    assert!(location(digest).is_file());
    // The same input gives the same bytes.
    let again = noted();
    assert_eq!(again.done("show repo acme/biology@1.0 --sbom"), sbom);
    assert_eq!(
        again.done("show repo acme/biology@1.0 --provenance"),
        statement
    );

    let Some(python) = python() else { return };
    fs::write(rig.path("sbom.json"), &sbom).unwrap();
    fs::write(rig.path("statement.json"), &statement).unwrap();
    fs::write(rig.path("check.py"), CHECK).unwrap();
    let output = Command::new(python)
        .arg("check.py")
        .current_dir(rig.folder())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).trim(),
        "both are valid"
    );
}

/// CycloneDX by its own library and official schema, in-toto by its own bindings; both refuse what is
/// none.
const CHECK: &str = r#"
import json
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from in_toto_attestation.v1.statement import Statement
from in_toto_attestation.v1.statement_pb2 import Statement as Message
from google.protobuf import json_format
import in_toto_attestation.predicates.provenance.v1.provenance_pb2 as pb

text = open("sbom.json").read()
validator = JsonStrictValidator(SchemaVersion.V1_6)
error = validator.validate_str(text)
assert error is None, error
broken = json.loads(text)
broken["components"][0]["hashes"][0]["content"] = "none"
assert validator.validate_str(json.dumps(broken)) is not None

told = open("statement.json").read()
message = json_format.Parse(told, Message())
Statement.copy_from_pb(message).validate()
predicate = json_format.ParseDict(json.loads(told)["predicate"], pb.Provenance())
definition, details = predicate.build_definition, predicate.run_details
assert definition.build_type and definition.external_parameters["release"] == "1.0"
assert details.builder.id and details.metadata.finished_on.seconds > 0
print("both are valid")
"#;

/// Returns a Python that has the libraries, or nothing, with a message.
fn python() -> Option<OsString> {
    let python = env::var_os("SATCHEL_PYTHON").unwrap_or_else(|| "python3".into());
    let import = "import cyclonedx.validation.json, jsonschema, in_toto_attestation";
    let found = Command::new(&python)
        .args(["-c", import])
        .stderr(Stdio::null())
        .status();
    if found.is_ok_and(|status| status.success()) {
        return Some(python);
    }
    println!(
        "skipped: no Python with cyclonedx-python-lib[json-validation] and in-toto-attestation; \
         SATCHEL_PYTHON names one"
    );
    None
}

#[test]
fn page_tells_all_of_it_and_needs_nothing_else() {
    let rig = shared();
    let told = rig.json("report repo -o page.html");
    let page = fs::read_to_string(rig.path("page.html")).unwrap();
    assert_eq!(told["bytes"].as_u64().unwrap(), page.len() as u64);
    for wanted in [
        "<!doctype html>",
        "acme/biology",
        "What each older release downloads",
        "video/mp4",
        "made without receipts",
        "stable offers 1.1 to 10%",
        "prefers-color-scheme:dark",
    ] {
        assert!(page.contains(wanted), "{wanted}");
    }
    for foreign in ["http:", "https:", "src=", "<script", "@import", "url("] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    let empty = Place::new();
    empty.done("init repo");
    empty.done("report repo");
    let page = fs::read_to_string(empty.path("report.html")).unwrap();
    assert!(page.contains("Nothing is published yet"));
}

#[test]
fn page_of_a_large_repository_is_small_and_quick() {
    let (packs, releases) = match env::var_os("SATCHEL_SLOW") {
        Some(_) => (50, 20),
        None => (3, 4),
    };
    let rig = Place::new();
    rig.done("init repo");
    for release in 0..releases {
        for pack in 0..packs {
            write(&rig, &format!("pack {pack} release {release}"));
            rig.done(&format!(
                "publish repo course --pack tenant/course-{pack} --release 1.{release} --delta-from last:2 --level fast"
            ));
        }
    }
    let began = Instant::now();
    rig.done("report repo -o page.html");
    let took = began.elapsed();
    let bytes = fs::metadata(rig.path("page.html")).unwrap().len();
    println!("{packs} packs of {releases} releases: {bytes} bytes in {took:?}");
    assert!(bytes < 2_000_000, "{bytes} bytes");
    if let Some(keep) = env::var_os("SATCHEL_KEEP_PAGE") {
        fs::copy(rig.path("page.html"), keep).unwrap();
    }
}
