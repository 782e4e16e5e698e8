//! A course, its keys and a repository in a temporary folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use diff_core::CancelToken;
use publisher::{
    AuditOptions, AuditReport, KeyStore, PublishError, PublishOptions, Published, Quiet,
    Repository, audit,
};
use release_format::{Label, PackName, UtcTime};

pub(crate) struct Rig {
    folder: tempfile::TempDir,
}

impl Rig {
    /// A repository without packs.
    pub(crate) fn new() -> Rig {
        let rig = Rig {
            folder: temporary_folder(),
        };
        Repository::init(rig.repository_path(), &rig.keys(), now()).unwrap();
        rig
    }

    /// A repository with the release 1.0 of [`course`].
    pub(crate) fn with_release() -> Rig {
        let rig = Rig::new();
        rig.write(&course());
        rig.publish("1.0").unwrap();
        rig
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn repository_path(&self) -> PathBuf {
        self.path().join("repository")
    }

    pub(crate) fn course_path(&self) -> PathBuf {
        self.path().join("course")
    }

    pub(crate) fn keys(&self) -> KeyStore {
        KeyStore::folder(self.path().join("keys"))
    }

    pub(crate) fn repository(&self) -> Repository {
        Repository::open(self.repository_path()).unwrap()
    }

    /// Writes files of the course; those that are there already stay.
    pub(crate) fn write(&self, files: &[(&str, Vec<u8>)]) {
        for (path, bytes) in files {
            let path = self.course_path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }

    pub(crate) fn publish(&self, label: &str) -> Result<Published, PublishError> {
        self.publish_with(&options(label))
    }

    pub(crate) fn publish_with(&self, options: &PublishOptions) -> Result<Published, PublishError> {
        let (course, keys) = (self.course_path(), self.keys());
        let cancel = CancelToken::new();
        self.repository()
            .publish(&course, &keys, options, &Quiet, &cancel)
    }

    /// Checks everything, deltas applied.
    pub(crate) fn audit(&self) -> AuditReport {
        let mut options = AuditOptions::at(now());
        options.apply_deltas = true;
        audit(&self.repository_path(), &options).unwrap()
    }

    pub(crate) fn labels(&self) -> Vec<String> {
        let catalogue = self.repository().catalogue(&pack()).unwrap();
        let labels = catalogue.releases.iter();
        labels.map(|release| release.label.to_string()).collect()
    }
}

/// Returns a folder in memory where the system has one, since every test syncs a lot.
fn temporary_folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    match memory.is_dir() {
        true => tempfile::tempdir_in(memory).unwrap(),
        false => tempfile::tempdir().unwrap(),
    }
}

pub(crate) fn now() -> UtcTime {
    UtcTime::parse("2026-11-21T00:00:00Z").unwrap()
}

pub(crate) fn pack() -> PackName {
    PackName::parse("acme/biology-101").unwrap()
}

pub(crate) fn options(label: &str) -> PublishOptions {
    PublishOptions::new(pack(), Label::parse(label).unwrap(), now())
}

/// Text that compresses a little and repeats nowhere.
pub(crate) fn lesson(seed: u32, lines: u32) -> Vec<u8> {
    let line = |n: u32| {
        format!(
            "<p>{seed} {n} {}</p>\n",
            n.wrapping_mul(2_654_435_761 ^ seed)
        )
    };
    (0..lines).map(line).collect::<String>().into_bytes()
}

pub(crate) fn course() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("index.html", lesson(1, 200)),
        ("unit 1/cells.html", lesson(2, 2000)),
        ("unit 1/empty.txt", Vec::new()),
        ("unit 2/copy.html", lesson(2, 2000)),
        ("unit 2/plants.html", lesson(3, 1500)),
    ]
}

/// Returns the bytes of every file below `folder`, by its path.
pub(crate) fn snapshot(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(current) = folders.pop() {
        for entry in fs::read_dir(current).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_owned();
                files.insert(name, fs::read(path).unwrap());
            }
        }
    }
    files
}
