//! A repository in a bucket, on a server that speaks S3: `moto_server` of the Python package
//! `moto[server]`, found on the path or named by `SATCHEL_S3_SERVER`. Without one these tests say that
//! they were skipped.

#![cfg(feature = "bucket")]
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use diff_core::{CancelToken, FileBytes};
use publisher::{
    AuditOptions, BucketStorage, KeyStore, PublishError, PublishOptions, Published, Quiet,
    Repository, Source, Storage, StorageLock, audit_in,
};
use release_format::{Label, PackName, UtcTime};

/// A server of its own for each test, with one bucket.
struct Server {
    child: Child,
    address: String,
    folder: tempfile::TempDir,
}

impl Server {
    /// Starts a server, or says why the test is skipped.
    fn start() -> Option<Server> {
        let program = std::env::var("SATCHEL_S3_SERVER").unwrap_or("moto_server".to_owned());
        let started = Command::new(&program)
            .args(["-H", "127.0.0.1", "-p", "0"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = match started {
            Ok(child) => child,
            Err(error) => {
                println!("skipped: {program} does not run: {error}");
                return None;
            }
        };
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let mut address = None;
        let mut line = String::new();
        while address.is_none() && lines.read_line(&mut line).unwrap() > 0 {
            let told = line.split("Running on http://").nth(1);
            address = told.map(|told| told.split_whitespace().next().unwrap().to_owned());
            line.clear();
        }
        // Read on, so that the server is never blocked by a full pipe.
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        let server = Server {
            child,
            address: address.expect("the server ended before it listened"),
            folder: tempfile::tempdir().unwrap(),
        };
        server.ask("PUT", "courses");
        Some(server)
    }

    /// Sends a request without a body, and returns the answer.
    fn ask(&self, method: &str, path: &str) -> String {
        let mut line = TcpStream::connect(&self.address).unwrap();
        let request = format!(
            "{method} /{path} HTTP/1.1\r\nHost: {}\r\nAuthorization: AWS reader:unread\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            self.address
        );
        line.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        line.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn storage(&self) -> BucketStorage {
        let variables = [
            ("AWS_ENDPOINT_URL", format!("http://{}", self.address)),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "reader".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "writer".to_owned()),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value));
        BucketStorage::from_variables("s3://courses/of/acme", variables).unwrap()
    }

    fn keys(&self) -> KeyStore {
        KeyStore::folder(self.folder.path().join("keys"))
    }

    fn repository(&self) -> Repository {
        Repository::open_in(Box::new(self.storage())).unwrap()
    }

    /// Publishes a course of one page as the next release.
    fn publish(&self, repository: &Repository, label: &str) -> Result<Published, PublishError> {
        self.publish_pack(repository, "acme/biology", label)
    }

    fn publish_pack(
        &self,
        repository: &Repository,
        pack: &str,
        label: &str,
    ) -> Result<Published, PublishError> {
        let course = self
            .folder
            .path()
            .join(format!("{}-{label}", pack.replace('/', "-")));
        fs::create_dir_all(&course).unwrap();
        let line = |n: u32| format!("{label} {pack} {}\n", n.wrapping_mul(2_654_435_761));
        let page: String = (0..500).map(line).collect();
        fs::write(course.join("index.html"), page).unwrap();
        let (pack, label) = (PackName::parse(pack).unwrap(), Label::parse(label).unwrap());
        let options = PublishOptions::new(pack, label, now());
        repository.publish(&course, &self.keys(), &options, &Quiet, &CancelToken::new())
    }

    fn labels(&self) -> Vec<String> {
        let pack = PackName::parse("acme/biology").unwrap();
        let catalogue = self.repository().catalogue(&pack).unwrap();
        catalogue
            .releases
            .iter()
            .map(|release| release.label.to_string())
            .collect()
    }

    #[track_caller]
    fn assert_sound(&self) {
        let mut options = AuditOptions::at(now());
        options.apply_deltas = true;
        let report = audit_in(&self.storage(), &options).unwrap();
        assert!(report.is_sound(), "{:?}", report.problems);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn now() -> UtcTime {
    UtcTime::parse("2026-11-21T00:00:00Z").unwrap()
}

/// A server whose bucket has the release 1.0, unless there is no server.
fn published() -> Option<Server> {
    let server = Server::start()?;
    Repository::init_in(&server.storage(), &server.keys(), now()).unwrap();
    server.publish(&server.repository(), "1.0").unwrap();
    Some(server)
}

type Meddle = Box<dyn Fn(&str) -> Result<(), PublishError> + Send + Sync>;

/// A bucket in which something happens before each put.
struct Meddled {
    storage: BucketStorage,
    before: Meddle,
}

impl Storage for Meddled {
    fn put(&self, location: &str, source: Source<'_>) -> Result<(), PublishError> {
        (self.before)(location)?;
        self.storage.put(location, source)
    }

    fn put_if_absent(&self, location: &str, source: Source<'_>) -> Result<bool, PublishError> {
        (self.before)(location)?;
        self.storage.put_if_absent(location, source)
    }

    fn sync(&self) -> Result<(), PublishError> {
        self.storage.sync()
    }

    fn get(&self, location: &str) -> Result<Option<FileBytes>, PublishError> {
        self.storage.get(location)
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, PublishError> {
        self.storage.list(prefix)
    }

    fn remove(&self, location: &str) -> Result<bool, PublishError> {
        self.storage.remove(location)
    }

    fn lock(&self) -> Result<StorageLock, PublishError> {
        self.storage.lock()
    }

    fn scratch(&self) -> Result<PathBuf, PublishError> {
        self.storage.scratch()
    }

    fn address(&self) -> String {
        self.storage.address()
    }
}

fn meddled(server: &Server, before: Meddle) -> Repository {
    let storage = server.storage();
    Repository::open_in(Box::new(Meddled { storage, before })).unwrap()
}

#[test]
fn bucket_holds_a_repository_with_the_headers_that_caches_need() {
    let Some(server) = published() else {
        return;
    };
    server.publish(&server.repository(), "1.1").unwrap();
    server.assert_sound();
    assert_eq!(server.labels(), ["1.0", "1.1"]);
    let mut pruning = publisher::PruneOptions::at(now());
    pruning.keep = Some(1);
    let refused = server.repository().prune(&server.keys(), &pruning);
    assert!(matches!(refused, Err(PublishError::Storage { .. })));
    assert_eq!(server.labels(), ["1.0", "1.1"]);
    let again = Repository::init_in(&server.storage(), &server.keys(), now());
    assert!(matches!(again, Err(PublishError::RepositoryExists { .. })));
    for location in server.storage().list("").unwrap() {
        let head = server
            .ask("HEAD", &format!("courses/of/acme/{location}"))
            .to_lowercase();
        let header = |name: &str| {
            let mut lines = head.lines();
            let line = lines.find(|line| line.starts_with(&format!("{name}: ")));
            line.unwrap_or_else(|| panic!("{location} has no {name}: {head}"))
                .to_owned()
        };
        let caching = match location.as_str() {
            "metadata/timestamp.json" => "cache-control: public, max-age=60",
            _ => "cache-control: public, max-age=31536000, immutable",
        };
        let is_binary = ["content/", "metadata/patches/"]
            .iter()
            .any(|of| location.starts_with(of));
        let kind = match is_binary {
            true => "content-type: application/octet-stream",
            false => "content-type: application/json",
        };
        assert_eq!(
            (
                header("cache-control").as_str(),
                header("content-type").as_str()
            ),
            (caching, kind)
        );
    }
}

#[test]
fn of_two_publishers_the_later_one_is_told_and_neither_release_is_lost() {
    let Some(server) = published() else {
        return;
    };
    // Whatever the first one is about to write when the second one publishes.
    for (number, moment) in ["content/", "targets/", "metadata/", "metadata/timestamp"]
        .iter()
        .enumerate()
    {
        let server = &server;
        let other = format!("2.{number}");
        let (storage, label) = (server.storage(), other.clone());
        let course = server.folder.path().join("other");
        fs::create_dir_all(&course).unwrap();
        fs::write(course.join("index.html"), format!("the other's {number}")).unwrap();
        let keys = server.keys();
        let waiting = Mutex::new(Some(Repository::open_in(Box::new(storage)).unwrap()));
        let meddle = move |location: &str| {
            let second = waiting
                .lock()
                .unwrap()
                .take_if(|_| location.starts_with(moment));
            if let Some(second) = second {
                let pack = PackName::parse("acme/biology").unwrap();
                let options = PublishOptions::new(pack, Label::parse(&label).unwrap(), now());
                second
                    .publish(&course, &keys, &options, &Quiet, &CancelToken::new())
                    .unwrap();
            }
            Ok(())
        };
        let mine = format!("1.{}", number + 1);
        let first = meddled(server, Box::new(meddle));
        let told = server.publish(&first, &mine);
        assert!(
            matches!(told, Err(PublishError::Busy { .. })),
            "{moment}: {told:?}"
        );
        server.assert_sound();
        assert!(server.labels().contains(&other) && !server.labels().contains(&mine));
        server.publish(&first, &mine).unwrap();
        assert!(server.labels().contains(&other) && server.labels().contains(&mine));
    }
    server.assert_sound();
    assert_eq!(server.labels().len(), 9);
}

#[test]
fn publishers_that_race_freely_all_get_their_releases_out() {
    let Some(server) = published() else {
        return;
    };
    let lost = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for who in ["acme/physics", "acme/history", "acme/biology"] {
            let (server, lost) = (&server, &lost);
            scope.spawn(move || {
                for label in ["3.0", "3.1"] {
                    let tries = (0..100).find(|_| {
                        match server.publish_pack(&server.repository(), who, label) {
                            Ok(_) => true,
                            Err(PublishError::Busy { .. }) => false,
                            Err(other) => panic!("{who} {label}: {other}"),
                        }
                    });
                    lost.fetch_add(tries.unwrap(), Ordering::Relaxed);
                }
            });
        }
    });
    println!("begun again {} times", lost.load(Ordering::Relaxed));
    server.assert_sound();
    assert_eq!(server.labels(), ["1.0", "3.0", "3.1"]);
    assert_eq!(server.repository().packs().unwrap().len(), 3);
}

#[test]
fn put_that_fails_at_any_moment_leaves_the_release_before() {
    let Some(server) = published() else {
        return;
    };
    for puts in 0.. {
        let left = AtomicUsize::new(puts);
        let before = move |location: &str| {
            let order = Ordering::Relaxed;
            match left.fetch_update(order, order, |left| left.checked_sub(1)) {
                Ok(_) => Ok(()),
                Err(_) => Err(PublishError::Storage {
                    operation: "write",
                    location: location.to_owned(),
                    source: std::io::Error::other("the line is gone"),
                }),
            }
        };
        let died = server.publish(&meddled(&server, Box::new(before)), "1.1");
        server.assert_sound();
        if died.is_ok() {
            assert!(puts > 8, "only {puts} puts");
            break;
        }
        assert_eq!(server.labels(), ["1.0"]);
    }
    assert_eq!(server.labels(), ["1.0", "1.1"]);
}

#[test]
fn long_file_is_sent_in_parts_and_comes_back_whole() {
    let Some(server) = published() else {
        return;
    };
    let storage = server.storage();
    let mut state = 1_u64;
    let bytes: Vec<u8> = (0..40_000_000)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            state.to_be_bytes()[0]
        })
        .collect();
    let aside = server.folder.path().join("archive");
    fs::write(&aside, &bytes).unwrap();
    assert!(
        storage
            .put_if_absent("content/ab/long", Source::Scratch(&aside))
            .unwrap()
    );
    assert!(
        !storage
            .put_if_absent("content/ab/long", Source::Scratch(&aside))
            .unwrap()
    );
    assert_eq!(storage.length("content/ab/long").unwrap(), Some(40_000_000));
    assert!(*storage.get("content/ab/long").unwrap().unwrap() == *bytes);
    assert!(storage.remove("content/ab/long").is_err());
}

#[test]
fn plain_http_is_spoken_only_where_the_endpoint_says_so() {
    for address in ["s3://", "s3:///prefix", "https://courses"] {
        let refused = BucketStorage::from_variables(address, []);
        assert!(
            matches!(refused, Err(PublishError::Storage { .. })),
            "{address}"
        );
    }
    // The endpoint decides, whatever another variable allows.
    let variables = [
        ("AWS_ALLOW_HTTP".to_owned(), "true".to_owned()),
        ("AWS_REGION".to_owned(), "us-east-1".to_owned()),
    ];
    assert!(BucketStorage::from_variables("s3://courses", variables).is_ok());
}
