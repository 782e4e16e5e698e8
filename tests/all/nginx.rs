//! A repository behind the nginx that the book describes, with the very configuration that it gives.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use satchel_tests::rig::world::{World, files_below, first_course, second_course};
use updater_client::{HttpTransport, UpdateError};

const PAGE: &str = include_str!("../../docs/src/operations/nginx.md");

/// nginx over a folder, on a port of this machine, until it is dropped.
struct Nginx {
    program: PathBuf,
    prefix: tempfile::TempDir,
    address: SocketAddr,
}

impl Nginx {
    /// Returns nginx serving `root`; `None` where it is not installed.
    fn serve(root: &Path) -> Option<Nginx> {
        let program = program()?;
        // Somebody may take the port between finding it free and listening.
        for _ in 0..5 {
            let free = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = free.local_addr().unwrap();
            drop(free);
            let prefix = tempfile::tempdir().unwrap();
            fs::write(
                prefix.path().join("nginx.conf"),
                configuration(root, address),
            )
            .unwrap();
            let nginx = Nginx {
                program: program.clone(),
                prefix,
                address,
            };
            // It goes into the background once it listens.
            let started = nginx.command().output().unwrap();
            if started.status.success() {
                return Some(nginx);
            }
            let told = String::from_utf8_lossy(&started.stderr).into_owned();
            assert!(told.contains("in use"), "{told}");
        }
        panic!("no port stays free");
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("-p").arg(self.prefix.path());
        command.args(["-e", "error.log", "-c", "nginx.conf"]);
        command
    }

    /// Returns the head of the answer in lower case, and its body.
    fn ask(&self, method: &str, path: &str, headers: &str) -> (String, Vec<u8>) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let request =
            format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .unwrap();
        let head = String::from_utf8(answer[..end].to_vec()).unwrap();
        (head.to_lowercase(), answer[end + 4..].to_vec())
    }

    fn get(&self, path: &str) -> (String, Vec<u8>) {
        self.ask("GET", path, "")
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.command().args(["-s", "stop"]).output();
    }
}

fn program() -> Option<PathBuf> {
    let places = ["nginx", "/usr/sbin/nginx", "/usr/local/sbin/nginx"];
    let runs = |place: &&str| Command::new(place).arg("-v").output().is_ok();
    places.iter().find(|place| runs(place)).map(PathBuf::from)
}

/// Returns the page's configuration with a folder and an address of the test's own, and what Debian's
/// `nginx.conf` has around it, kept in a folder of the test's own.
fn configuration(root: &Path, address: SocketAddr) -> String {
    let (_, behind) = PAGE.split_once("```nginx\n").unwrap();
    let (server, _) = behind.split_once("```").unwrap();
    let root = root.to_str().unwrap();
    for line in ["listen 80;", "root /srv/satchel;"] {
        assert_eq!(server.matches(line).count(), 1, "{line}");
    }
    let server = server
        .replace("listen 80;", &format!("listen {address};"))
        .replace("root /srv/satchel;", &format!("root {root};"));
    let kept = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let kept = kept
        .map(|kind| format!("{kind}_temp_path {kind};\n"))
        .concat();
    // One process under the test's own user, who alone can read its folders.
    format!(
        "master_process off;\npid pid;\nevents {{ }}\nhttp {{\naccess_log off;\nsendfile on;\n\
         types {{ text/html html; application/json json; }}\ngzip on;\ngzip_types application/json;\n\
         {kept}{server}}}\n"
    )
}

fn path_of(repository: &Path, file: &Path) -> String {
    let below = file.strip_prefix(repository).unwrap();
    format!("/{}", below.to_str().unwrap().replace('\\', "/"))
}

#[test]
fn devices_update_through_nginx_as_the_book_sets_it_up_and_caches_keep_what_they_may() {
    let world = World::new();
    world.publish("1.0", &first_course());
    let repository = world.repository();
    let Some(nginx) = Nginx::serve(&repository) else {
        println!("skipped: nginx is not installed");
        return;
    };
    let over = || Arc::new(HttpTransport::new(&format!("http://{}", nginx.address)).unwrap());
    let device = world.device();
    device.update_over(over()).unwrap();
    device.assert_has(&first_course());
    device.confirm();
    world.publish("1.1", &second_course());
    let updated = device.update_over(over()).unwrap();
    assert!(updated.route.is_some_and(|route| !route.is_full()));
    device.assert_has(&second_course());

    let (mut changing, mut lasting) = (0, 0);
    for file in files_below(&repository) {
        let path = path_of(&repository, &file);
        let (head, body) = nginx.ask("GET", &path, "Accept-Encoding: gzip\r\n");
        if path.contains("/.") {
            assert!(head.starts_with("http/1.1 404"), "{path}: {head}");
            continue;
        }
        assert!(head.starts_with("http/1.1 200"), "{path}: {head}");
        assert!(!head.contains("content-encoding"), "{path}: {head}");
        assert_eq!(body, fs::read(&file).unwrap(), "{path}");
        let caching = if path == "/metadata/timestamp.json" {
            changing += 1;
            "cache-control: public, max-age=60\r\n"
        } else {
            lasting += 1;
            "cache-control: public, max-age=31536000, immutable\r\n"
        };
        assert!(format!("{head}\r\n").contains(caching), "{path}: {head}");
        assert_eq!(head.matches("cache-control").count(), 1, "{path}: {head}");
    }
    assert!(changing == 1 && lasting > 10, "{changing} {lasting}");
}

#[test]
fn nginx_as_the_book_sets_it_up_sends_ranges_and_shows_nothing_but_the_repository() {
    let world = World::new();
    world.publish("1.0", &first_course());
    let repository = world.repository();
    fs::write(repository.join("metadata/.writing"), b"half").unwrap();
    fs::write(repository.join("notes.txt"), b"of the publisher").unwrap();
    let Some(nginx) = Nginx::serve(&repository) else {
        println!("skipped: nginx is not installed");
        return;
    };
    let content = files_below(&repository.join("content"));
    let file = content
        .iter()
        .max_by_key(|file| fs::metadata(file).unwrap().len())
        .unwrap();
    let (path, bytes) = (path_of(&repository, file), fs::read(file).unwrap());
    let (head, body) = nginx.ask("GET", &path, "Range: bytes=100-\r\n");
    assert!(head.starts_with("http/1.1 206"), "{head}");
    let range = format!(
        "content-range: bytes 100-{}/{}",
        bytes.len() - 1,
        bytes.len()
    );
    assert!(head.contains(&range), "{head}");
    assert_eq!(body, bytes[100..]);
    let past = format!("Range: bytes={}-\r\n", bytes.len());
    assert!(nginx.ask("GET", &path, &past).0.starts_with("http/1.1 416"));
    let (head, body) = nginx.ask("GET", &path, "Range: bytes=1-2,5-6\r\n");
    assert!(head.starts_with("http/1.1 200") && body == bytes, "{head}");
    for path in [
        "/",
        "/metadata/",
        "/content",
        "/metadata/.writing",
        "/notes.txt",
        "/metadata/2.root.json",
    ] {
        let (head, _) = nginx.get(path);
        assert!(head.starts_with("http/1.1 404"), "{path}: {head}");
        assert!(!head.contains("immutable"), "{path}: {head}");
    }
    for method in ["POST", "PUT", "DELETE"] {
        let (head, _) = nginx.ask(method, &path, "Content-Length: 0\r\n");
        assert!(head.starts_with("http/1.1 40"), "{method}: {head}");
    }
    // Half of a download, and then a server that restarts: the device goes on where it was.
    let device = world.device();
    let digest = file.file_name().unwrap().to_str().unwrap().parse().unwrap();
    fs::write(device.layout().partial(&digest), &bytes[..bytes.len() / 2]).unwrap();
    let address = format!("http://{}", nginx.address);
    let over = || Arc::new(HttpTransport::new(&address).unwrap());
    device.update_over(over()).unwrap();
    device.assert_has(&first_course());
    let address = nginx.address;
    drop(nginx);
    let failed = world.device().update_over(over()).unwrap_err();
    assert!(
        matches!(failed, UpdateError::Transport(_)),
        "{address}: {failed}"
    );
}
