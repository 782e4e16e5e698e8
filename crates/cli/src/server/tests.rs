use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;

use super::*;

struct Rig {
    server: Server,
    seen: Arc<Mutex<Vec<(String, u16)>>>,
    _folder: tempfile::TempDir,
}

fn rig() -> Rig {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for (path, text) in [
        ("metadata/timestamp.json", "{}"),
        ("metadata/1.root.json", "{\"root\":1}"),
        ("content/ab/abcd", "0123456789"),
        (".lock", "held"),
        ("metadata/.writing", "half"),
    ] {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let observe = move |path: &str, status| log.lock().unwrap().push((path.to_owned(), status));
    let server = Server::start(root, "127.0.0.1:0".parse().unwrap(), observe).unwrap();
    Rig {
        server,
        seen,
        _folder: folder,
    }
}

impl Rig {
    /// Returns the response's head, in lower case, and its body.
    fn get(&self, path: &str, headers: &str) -> (String, String) {
        let mut stream = TcpStream::connect(self.server.address).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n"
        )
        .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.to_lowercase(), body.to_owned())
    }

    fn status(&self, path: &str) -> String {
        self.get(path, "").0.lines().next().unwrap().to_owned()
    }
}

#[test]
fn content_is_served_whole_and_cached_for_ever() {
    let (head, body) = rig().get("/content/ab/abcd", "");
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert!(
        head.contains("cache-control: public, max-age=31536000, immutable"),
        "{head}"
    );
    assert!(
        head.contains("content-length: 10") && head.contains("accept-ranges: bytes"),
        "{head}"
    );
    assert_eq!(body, "0123456789");
}

#[test]
fn the_timestamp_is_cached_for_a_minute_and_versioned_metadata_for_ever() {
    let rig = rig();
    let (head, _) = rig.get("/metadata/timestamp.json", "");
    assert!(
        head.contains("cache-control: public, max-age=60\r\n"),
        "{head}"
    );
    let (head, _) = rig.get("/metadata/1.root.json", "");
    assert!(head.contains("immutable"), "{head}");
}

#[test]
fn a_range_is_answered_with_just_that() {
    let rig = rig();
    let (head, body) = rig.get("/content/ab/abcd", "Range: bytes=4-\r\n");
    assert!(head.starts_with("http/1.1 206"), "{head}");
    assert!(head.contains("content-range: bytes 4-9/10"), "{head}");
    assert_eq!(body, "456789");
    let (_, body) = rig.get("/content/ab/abcd", "Range: bytes=2-3\r\n");
    assert_eq!(body, "23");
    let (head, _) = rig.get("/content/ab/abcd", "Range: bytes=10-\r\n");
    assert!(head.starts_with("http/1.1 416"), "{head}");
}

#[test]
fn what_is_absent_hidden_or_outside_is_not_found_and_not_cached() {
    let rig = rig();
    for path in [
        "/nothing",
        "/.lock",
        "/%2elock",
        "/metadata/.writing",
        "/content/ab",
        "/../Cargo.toml",
        "/%2e%2e/x",
    ] {
        let (head, body) = rig.get(path, "");
        assert!(head.starts_with("http/1.1 404"), "{path}: {head}");
        assert!(
            !head.contains("immutable") && body.is_empty(),
            "{path}: {head}{body}"
        );
    }
    assert!(rig.status("/metadata/timestamp.json").contains("200"));
}

#[test]
fn requests_and_bytes_are_counted_and_told() {
    let rig = rig();
    rig.get("/content/ab/abcd", "");
    rig.get("/nothing", "");
    let seen = [
        ("/content/ab/abcd".to_owned(), 200),
        ("/nothing".to_owned(), 404),
    ];
    assert_eq!(*rig.seen.lock().unwrap(), seen);
    assert_eq!(
        (rig.server.meter().requests(), rig.server.meter().sent()),
        (2, 10)
    );
}

#[test]
fn a_stalled_server_sends_its_allowance_and_then_nothing() {
    let rig = rig();
    rig.server.meter().stall_after(4);
    let mut stream = TcpStream::connect(rig.server.address).unwrap();
    write!(stream, "GET /content/ab/abcd HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    assert!(rig.server.meter().wait_until_dry(Duration::from_secs(20)));
    assert_eq!(rig.server.meter().sent(), 4);
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n0123") {
        let mut byte = [0_u8];
        stream.read_exact(&mut byte).unwrap();
        seen.push(byte[0]);
    }
    drop(stream);
    rig.server.stop().unwrap();
}

#[test]
fn an_address_in_use_is_an_error() {
    let rig = rig();
    let again = Server::start(Path::new("."), rig.server.address, |_, _| {});
    let kind = again.err().map(|error| error.kind());
    assert_eq!(kind, Some(io::ErrorKind::AddrInUse));
}
