//! `satchel mirror` as a class has it: a laptop that serves forty devices over HTTP, and everybody who
//! is not one of them.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;
use std::thread;

use diff_core::CancelToken;
use release_format::UtcTime;
use satchel_tests::rig::course::Random;
use satchel_tests::rig::server::{Misbehaviour, Server};
use satchel_tests::rig::world::{Device, World, files_below, first_course, second_course};
use serde_json::Value;
use updater_client::{Clock, HttpTransport, SystemClock, Transport, UpdateOptions};

use crate::place::{Running, satchel};

/// A repository behind a server that counts, and a laptop whose library was enrolled with it.
struct Class {
    world: World,
    server: Server,
    laptop: PathBuf,
}

impl Class {
    fn new() -> Class {
        let world = World::at(UtcTime::from_seconds(SystemClock.now().seconds()));
        world.publish("1.0", &first_course());
        let server = Server::start(world.repository()).unwrap();
        let laptop = world.folder().join("laptop");
        updater_client::enroll(&laptop, world.root(), vec![server.url()]).unwrap();
        Class {
            world,
            server,
            laptop,
        }
    }

    fn mirror(&self, flags: &[&str]) -> Running {
        let mut command = satchel(&["mirror", self.laptop.to_str().unwrap()]);
        Running::start(command.args(["--listen", "127.0.0.1:0"]).args(flags))
    }

    /// Enrols a device that knows the repository's server alone.
    fn device(&self, name: &str) -> PathBuf {
        let library = self.world.folder().join(name);
        updater_client::enroll(&library, self.world.root(), vec![self.server.url()]).unwrap();
        library
    }

    fn update(&self, library: &Path, flags: &[&str]) -> Output {
        satchel(&[
            "update",
            library.to_str().unwrap(),
            self.world.pack().as_str(),
        ])
        .args(flags)
        .output()
        .unwrap()
    }

    /// Returns the content that a first install fetches, and its bytes.
    fn content(&self) -> (String, Vec<u8>) {
        update_over(&self.world.device(), &self.server.url());
        let requests = self.server.requests();
        let mut content = requests.iter().map(|request| &request.location);
        let location = content
            .find(|location| location.starts_with("content/"))
            .unwrap();
        let bytes = fs::read(self.world.repository().join(location)).unwrap();
        self.server.forget();
        (location.clone(), bytes)
    }

    /// Returns where the archive of the one release lies, and its bytes.
    fn archive(&self) -> (String, Vec<u8>) {
        let content = files_below(&self.world.repository().join("content"));
        let read = content.iter().map(|path| (path, fs::read(path).unwrap()));
        let mut archives = read.filter(|(_, bytes)| bytes.starts_with(b"SARC"));
        let (path, bytes) = archives.next().unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        (format!("content/{}/{name}", &name[..2]), bytes)
    }
}

/// Returns the head of the answer in lower case, and its body.
fn ask(mirror: &Running, request: &str) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(mirror.url.strip_prefix("http://").unwrap()).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    // A server that refuses may close before it has read everything.
    let _ = stream.read_to_end(&mut answer);
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("{request:?}: {answer:?}"));
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    (head.to_lowercase(), answer[end + 4..].to_vec())
}

fn get(mirror: &Running, path: &str, headers: &str) -> (String, Vec<u8>) {
    ask(
        mirror,
        &format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n"),
    )
}

fn told(output: &Output) -> String {
    let text = [output.stdout.clone(), output.stderr.clone()].concat();
    String::from_utf8(text).unwrap()
}

fn update_over(device: &Device, url: &str) {
    let mirror = Arc::new(HttpTransport::new(url).unwrap());
    let updater = device.alone().repository(mirror).build().unwrap();
    let (options, cancel) = (UpdateOptions::default(), CancelToken::new());
    updater.update(device.pack(), &options, &cancel).unwrap();
}

#[test]
fn forty_devices_behind_a_mirror_cost_the_repository_one() {
    let class = Class::new();
    update_over(&class.world.device(), &class.server.url());
    let one = class.server.traffic();
    class.server.forget();
    let mirror = class.mirror(&[]);
    let devices: Vec<Device> = (0..40).map(|_| class.world.device()).collect();
    thread::scope(|scope| {
        for devices in devices.chunks(5) {
            let url = &mirror.url;
            scope.spawn(move || {
                for device in devices {
                    update_over(device, url);
                    device.assert_has(&first_course());
                }
            });
        }
    });
    let all = class.server.traffic();
    assert_eq!((all.requests, all.bodies), (one.requests, one.bodies));
}

#[test]
fn a_device_that_never_was_a_mirror_serves_what_it_has_installed_when_there_is_no_repository() {
    let class = Class::new();
    let updated = class.update(&class.laptop, &[]);
    assert!(updated.status.success(), "{}", told(&updated));
    class.server.misbehave("*", Misbehaviour::HangUp);
    for way in [&["--no-upstream"][..], &[]] {
        let mirror = class.mirror(way);
        let device = class.device(&format!("device{}", way.len()));
        let updated = class.update(&device, &["--from", &mirror.url, "--only"]);
        assert!(updated.status.success(), "{way:?}: {}", told(&updated));
        assert!(told(&updated).contains("1.0 is active"));
        let (archive, published) = class.archive();
        let (from, end) = (published.len() / 2, published.len());
        let (head, body) = get(
            &mirror,
            &format!("/{archive}"),
            &format!("Range: bytes={from}-\r\n"),
        );
        assert!(head.starts_with("http/1.1 206"), "{head}");
        assert!(head.contains(&format!("/{end}\r\n")), "{head}");
        assert!(body == published[from..from + body.len()] && !body.is_empty());
        let (head, _) = get(
            &mirror,
            &format!("/{archive}"),
            &format!("Range: bytes={end}-\r\n"),
        );
        assert!(!head.starts_with("http/1.1 20"), "{head}");
        let (_, whole) = get(&mirror, &format!("/{archive}"), "");
        assert!(whole == published);
    }
}

#[test]
fn a_mirror_without_network_brings_devices_what_it_holds() {
    let class = Class::new();
    drop(class.mirror(&[]));
    let laptop = class.laptop.clone();
    let updated = class.update(&laptop, &[]);
    assert!(updated.status.success(), "{}", told(&updated));
    let mirror = class.mirror(&["--no-upstream"]);
    class.server.misbehave("*", Misbehaviour::HangUp);
    let device = class.device("device");
    let updated = class.update(&device, &["--from", &mirror.url]);
    assert!(updated.status.success(), "{}", told(&updated));
    assert!(
        told(&updated).contains("1.0 is active"),
        "{}",
        told(&updated)
    );
}

#[test]
fn a_mirror_that_is_killed_in_the_middle_stops_no_device_and_goes_on_where_it_was() {
    let class = Class::new();
    let mut film = first_course();
    film.put("media/film.bin", Random::new(9).noise(400_000));
    class.world.publish("1.1", &film);
    let (location, bytes) = class.content();
    let most = bytes.len() as u64;
    let stalls = Misbehaviour::Stall { at: most * 3 / 4 };
    class.server.misbehave_times(&location, 1, stalls);
    let mirror = class.mirror(&[]);
    let device = class.device("device");
    let url = mirror.url.clone();
    thread::scope(|scope| {
        let update = scope.spawn(|| class.update(&device, &["--from", &url]));
        class.server.wait_until_stalled();
        // What a neighbour has of it, the mirror has on its disk.
        let mut neighbour = HttpTransport::new(&url)
            .unwrap()
            .open(&location, 0)
            .unwrap();
        let mut begun = vec![0; READ_BEFORE];
        neighbour.reader.read_exact(&mut begun).unwrap();
        assert_eq!(begun, bytes[..READ_BEFORE]);
        drop(mirror);
        class.server.release();
        // The device goes on with its own repository.
        let updated = update.join().unwrap();
        assert!(updated.status.success(), "{}", told(&updated));
    });
    class.server.forget();
    let again = class.mirror(&[]);
    let (_, body) = get(&again, &format!("/{location}"), "");
    assert_eq!(body, bytes);
    let fetched = class.server.traffic().bodies;
    assert!(fetched <= most - READ_BEFORE as u64, "{fetched} of {most}");
}

#[test]
fn a_mirror_that_lies_is_refused_by_hand_with_exit_4_and_its_device_keeps_what_it_has() {
    let class = Class::new();
    let device = class.device("device");
    assert!(class.update(&device, &[]).status.success());
    class.world.publish("1.1", &second_course());
    for pattern in ["metadata/*.json", "targets/*", "content/*"] {
        let liar = Server::start(class.world.repository()).unwrap();
        liar.misbehave("metadata/2.root.json", Misbehaviour::Status(404));
        // By a patch a device would have the truth.
        liar.misbehave("metadata/patches/*", Misbehaviour::Status(404));
        liar.misbehave(pattern, Misbehaviour::Flip { byte: 90 });
        let updated = class.update(&device, &["--from", &liar.url(), "--only"]);
        assert_eq!(
            updated.status.code(),
            Some(4),
            "{pattern}: {}",
            told(&updated)
        );
        let status = satchel(&["status", device.to_str().unwrap(), "--json"])
            .output()
            .unwrap();
        let status: Value = serde_json::from_slice(&status.stdout).unwrap();
        assert_eq!(status["packs"][0]["active"]["label"], "1.0");
    }
    let updated = class.update(&device, &["--nearby", "-v"]);
    assert!(updated.status.success(), "{}", told(&updated));
    assert!(told(&updated).contains("nearby"), "{}", told(&updated));
}

#[test]
fn a_mirror_answers_like_any_static_server_and_shows_nothing_else() {
    let class = Class::new();
    let (location, bytes) = class.content();
    let mirror = class.mirror(&[]);
    let path = format!("/{location}");
    let (head, body) = get(&mirror, &path, "");
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert!(head.contains("max-age=31536000, immutable"), "{head}");
    assert!(
        head.contains(&format!("content-length: {}", bytes.len())),
        "{head}"
    );
    assert_eq!(body, bytes);
    let (head, body) = get(&mirror, &path, "Range: bytes=100-199\r\n");
    assert!(head.starts_with("http/1.1 206"), "{head}");
    assert!(
        head.contains(&format!("content-range: bytes 100-199/{}", bytes.len())),
        "{head}"
    );
    assert_eq!(body, bytes[100..200]);
    let (head, body) = get(
        &mirror,
        &path,
        "Range: bytes=100-\r\nIf-Range: \"another\"\r\n",
    );
    assert!(head.starts_with("http/1.1 200") && body == bytes, "{head}");
    let range = format!("Range: bytes={}-\r\n", bytes.len());
    assert!(get(&mirror, &path, &range).0.starts_with("http/1.1 416"));
    let (head, _) = get(&mirror, "/metadata/timestamp.json", "");
    assert!(head.contains("cache-control: public, max-age=60"), "{head}");
    let (head, body) = ask(
        &mirror,
        &format!("HEAD {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
    );
    assert!(
        head.contains(&format!("content-length: {}", bytes.len())),
        "{head}"
    );
    assert_eq!(body, b"");
    for path in [
        "/",
        "/library.json",
        "/lock",
        "/trust/timestamp.json",
        "/mirror/lock",
        "/metadata/../library.json",
        "/metadata/%2e%2e/library.json",
        "/metadata/..%2flibrary.json",
        "/content/..%5c..%5clibrary.json",
        "//library.json",
        "/%2fetc%2fpasswd",
        "/metadata/%00",
        "/metadata/%ff.json",
    ] {
        let (head, body) = get(&mirror, path, "");
        assert!(head.starts_with("http/1.1 404"), "{path}: {head}");
        assert_eq!(body, b"", "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"] {
        let (head, _) = ask(
            &mirror,
            &format!(
                "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            ),
        );
        assert!(head.starts_with("http/1.1 405"), "{method}: {head}");
        assert!(head.contains("allow: get, head"), "{method}: {head}");
    }
    let long = format!("X-Long: {}\r\n", "x".repeat(17 << 10));
    assert!(get(&mirror, &path, &long).0.starts_with("http/1.1 431"));
    assert_eq!(get(&mirror, &path, "").1, bytes);
}

#[test]
fn a_port_that_is_taken_and_a_library_that_is_none_are_told() {
    let class = Class::new();
    let mirror = class.mirror(&[]);
    let again = satchel(&["mirror", class.laptop.to_str().unwrap(), "--json"])
        .output()
        .unwrap();
    assert_eq!(again.status.code(), Some(6), "{}", told(&again));
    let library = class.device("another");
    let address = mirror.url.strip_prefix("http://").unwrap();
    let taken = satchel(&["mirror", library.to_str().unwrap(), "--listen", address]).output();
    assert_eq!(taken.unwrap().status.code(), Some(1));
    let nothing = class.world.folder().join("nothing");
    let none = satchel(&["mirror", nothing.to_str().unwrap()])
        .output()
        .unwrap();
    assert_eq!(none.status.code(), Some(1), "{}", told(&none));
    let unknown = class.update(&nothing, &["--nearby", "--json"]);
    let unknown: Value = serde_json::from_slice(&unknown.stdout).unwrap();
    assert_eq!(unknown["error"]["code"], "not-a-library");
    let nonsense = class.update(&library, &["--nearby", "--from", &mirror.url]);
    assert_eq!(nonsense.status.code(), Some(2));
}

/// What a neighbour reads before the mirror is killed.
const READ_BEFORE: usize = 150_000;
