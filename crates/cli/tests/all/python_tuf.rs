//! python-tuf's updater, unchanged, follows a repository that the program made, where a Python with `tuf`
//! is at hand.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};

use crate::place::Place;

#[test]
fn python_tuf_refreshes_and_downloads_targets_from_the_pinned_root_on() {
    let Some(python) = python() else { return };
    let rig = Place::new();
    let (repository, course) = (rig.path("repo"), rig.path("course"));
    fs::create_dir(&course).unwrap();
    rig.done("init repo");
    let root = fs::read(repository.join("metadata/1.root.json")).unwrap();
    for release in ["1.0", "2.0"] {
        fs::write(course.join("index.html"), release.repeat(50)).unwrap();
        rig.done(&format!(
            "publish repo course --pack acme/biology-101 --release {release}"
        ));
    }
    rig.write("root.json", root);

    for name in ["catalogue", "rollout/stable"] {
        let target = format!("acme/biology-101/{name}");
        let output = follow(&python, rig.folder(), &target);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{told}");
        let (place, last) = target.rsplit_once('/').unwrap();
        let published = fs::read_dir(repository.join("targets").join(place)).unwrap();
        let ends = format!(".{last}");
        let published = published.map(|entry| entry.unwrap().path());
        let published = published.filter(|path| path.to_str().unwrap().ends_with(&ends));
        assert!(
            published
                .map(fs::read)
                .any(|bytes| bytes.unwrap() == output.stdout),
            "{target} has other bytes"
        );
    }

    // What was changed since it was signed is refused by the same reader.
    let timestamp = repository.join("metadata/timestamp.json");
    let changed = fs::read_to_string(&timestamp).unwrap();
    let changed = changed.replacen("\"version\":", "\"version\":1", 1);
    fs::write(&timestamp, changed).unwrap();
    let output = follow(&python, rig.folder(), "acme/biology-101/catalogue");
    assert!(!output.status.success());
}

/// Returns a Python that has `tuf`.
fn python() -> Option<OsString> {
    let python = env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
    let has_tuf = Command::new(&python)
        .args(["-c", "import tuf.ngclient, cryptography"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !has_tuf {
        // Past the capture of the test runner, so that it is seen.
        let _ = writeln!(std::io::stderr(), "\nskipped: there is no Python with tuf");
    }
    has_tuf.then_some(python)
}

fn follow(python: &OsString, folder: &Path, target: &str) -> Output {
    Command::new(python)
        .current_dir(folder)
        .args(["-c", FOLLOW, target])
        .output()
        .unwrap()
}

/// Follows the repository from the pinned root on, and prints a target; files stand for a web server.
const FOLLOW: &str = r#"
import os, sys, tempfile
from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import FetcherInterface, Updater

class Files(FetcherInterface):
    def _fetch(self, url):
        try:
            with open(url, "rb") as file:
                yield file.read()
        except FileNotFoundError:
            raise DownloadHTTPError("no such file", 404)

with open("root.json", "rb") as file:
    root = file.read()
with tempfile.TemporaryDirectory() as state, tempfile.TemporaryDirectory() as targets:
    updater = Updater(state, "repo/metadata/", targets, "repo/targets/", fetcher=Files(), bootstrap=root)
    updater.refresh()
    info = updater.get_targetinfo(sys.argv[1])
    with open(updater.download_target(info, os.path.join(targets, "target")), "rb") as file:
        sys.stdout.buffer.write(file.read())
"#;
