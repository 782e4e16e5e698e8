//! Mirrors over HTTP that misbehave: each kind has its own error, and no byte that arrived is lost.

mod proxy;
mod tls;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc;
use std::time::Duration;

use satchel_tests::rig::server::{Misbehaviour, Server, Traffic};
use updater_client::{HttpTransport, Transport, TransportError};

const FILE: &str = "content/ab/abcd";

struct Mirror {
    server: Server,
    transport: HttpTransport,
    content: Vec<u8>,
    folder: tempfile::TempDir,
}

impl Mirror {
    fn of(length: usize) -> Mirror {
        let folder = tempfile::tempdir().unwrap();
        let content: Vec<u8> = (0..=250).cycle().take(length).collect();
        fs::create_dir_all(folder.path().join("content/ab")).unwrap();
        fs::create_dir_all(folder.path().join("metadata")).unwrap();
        fs::write(folder.path().join(FILE), &content).unwrap();
        fs::write(folder.path().join("metadata/1.root.json"), b"{}").unwrap();
        let server = Server::start(folder.path()).unwrap();
        let transport = HttpTransport::new(&server.url()).unwrap();
        Mirror {
            server,
            transport,
            content,
            folder,
        }
    }

    fn that(misbehaviour: Misbehaviour) -> Mirror {
        let mirror = Mirror::of(10);
        mirror.server.misbehave(FILE, misbehaviour);
        mirror
    }

    /// Returns the bytes that arrived, and what ended them.
    fn read(&self, from: u64) -> (Vec<u8>, Option<TransportError>) {
        let mut bytes = Vec::new();
        match self.transport.open(FILE, from) {
            Ok(mut body) => {
                let ended = body.reader.read_to_end(&mut bytes);
                let ended = ended.map_err(|source| TransportError::from_body(FILE, source));
                (bytes, ended.err())
            }
            Err(refused) => (bytes, Some(refused)),
        }
    }

    fn refusal(&self, from: u64) -> TransportError {
        self.transport.open(FILE, from).unwrap_err()
    }

    /// Gives up soon on what stalls.
    fn hurried(mut self) -> (Mirror, Duration) {
        let stall = Duration::from_secs(1);
        let builder = HttpTransport::builder(&self.server.url()).connect_timeout(stall);
        self.transport = builder.stall_timeout(stall).build().unwrap();
        (self, stall)
    }
}

fn location() -> String {
    FILE.to_owned()
}

#[test]
fn a_file_arrives_whole_or_from_where_it_was_asked() {
    let mirror = Mirror::of(100_000);
    assert_eq!(mirror.read(0), (mirror.content.clone(), None));
    let (bytes, ended) = mirror.read(99_990);
    assert_eq!((&bytes[..], ended), (&mirror.content[99_990..], None));
    let body = mirror.transport.open(FILE, 99_990).unwrap();
    assert_eq!((body.starts_at, body.total), (99_990, Some(100_000)));
    let kind = body.content_type.as_deref();
    assert_eq!(kind, Some("application/octet-stream"));
    let requests = mirror.server.requests();
    let from: Vec<_> = requests.iter().map(|request| request.from).collect();
    assert_eq!(from, [None, Some(99_990), Some(99_990)]);
    assert_eq!(requests[0].headers["accept-encoding"], "identity");
    assert!(requests[0].headers["user-agent"].starts_with("satchel/"));
}

#[test]
fn an_empty_file_arrives() {
    assert_eq!(Mirror::of(0).read(0), (Vec::new(), None));
}

#[test]
fn a_missing_file_is_absent_though_the_server_sends_a_page() {
    let mirror = Mirror::of(1);
    for location in ["metadata/2.root.json", "content/ff/ffff"] {
        let refused = mirror.transport.open(location, 0).unwrap_err();
        let location = location.to_owned();
        assert_eq!(refused, TransportError::Absent { location });
    }
    let gone = Mirror::that(Misbehaviour::Status(410)).refusal(0);
    let location = location();
    assert_eq!(gone, TransportError::Absent { location });
}

#[test]
fn locations_that_climb_never_reach_the_server() {
    let mirror = Mirror::of(1);
    for location in ["../secret", "/secret", "a\\b", "a\r\nb", ""] {
        let refused = mirror.transport.open(location, 0).unwrap_err();
        assert!(
            matches!(refused, TransportError::Location(_)),
            "{refused:?}"
        );
    }
    assert_eq!(mirror.server.traffic(), Traffic::default());
}

#[test]
fn a_status_says_who_can_do_something_about_it() {
    for (status, code, is_retryable, needs_administrator) in [
        (500, "wrong-status", true, false),
        (503, "wrong-status", true, false),
        (400, "wrong-status", false, false),
        (401, "forbidden", false, true),
        (403, "forbidden", false, true),
        (407, "proxy-login", false, true),
        (511, "captive-portal", false, true),
    ] {
        let refused = Mirror::that(Misbehaviour::Status(status)).refusal(0);
        assert_eq!(refused.code(), code, "{status}");
        assert_eq!(refused.is_retryable(), is_retryable, "{status}");
        assert_eq!(
            refused.needs_administrator(),
            needs_administrator,
            "{status}"
        );
    }
}

#[test]
fn a_server_without_ranges_starts_over() {
    let mirror = Mirror::that(Misbehaviour::IgnoreRange);
    let body = mirror.transport.open(FILE, 7).unwrap();
    assert_eq!((body.starts_at, body.total), (0, Some(10)));
    assert_eq!(mirror.read(7), (mirror.content.clone(), None));
}

#[test]
fn another_part_than_the_one_asked_for_is_refused() {
    for said in ["bytes 0-9/10", "bytes 6-9/10", "bytes 7-8/10", "7-9", ""] {
        let mirror = Mirror::that(Misbehaviour::ContentRange(said.to_owned()));
        match mirror.refusal(7) {
            TransportError::WrongRange {
                asked: 7, found, ..
            } => {
                assert!(found.contains(said), "{found}");
            }
            other => panic!("{said:?}: {other:?}"),
        }
    }
}

#[test]
fn a_file_that_ends_before_the_byte_asked_for_says_so() {
    for asked in [10, 11] {
        let refused = Mirror::of(10).refusal(asked);
        let (location, total) = (location(), Some(10));
        let expected = TransportError::PastEnd {
            location,
            asked,
            total,
        };
        assert_eq!(refused, expected);
    }
}

#[test]
fn a_body_that_ends_early_is_interrupted_where_it_ended() {
    for from in [0, 3] {
        for at in 0..10 - from {
            let mirror = Mirror::that(Misbehaviour::Truncate { at });
            let received = from + at;
            let interrupted = TransportError::Interrupted {
                location: location(),
                received,
                expected: Some(10),
            };
            let range = usize::try_from(from).unwrap()..usize::try_from(received).unwrap();
            let expected = (mirror.content[range].to_vec(), Some(interrupted));
            assert_eq!(mirror.read(from), expected, "from {from} to {at}");
        }
    }
}

#[test]
fn a_connection_reset_at_any_byte_is_told_from_an_end() {
    for at in 0..=10 {
        let mirror = Mirror::that(Misbehaviour::Reset { at });
        let (bytes, ended) = mirror.read(0);
        // A reset may overtake bytes that are on their way, the head's and the last ones among them.
        assert_eq!(bytes[..], mirror.content[..bytes.len()]);
        assert!(bytes.len() as u64 <= at);
        match ended {
            None => assert_eq!(at, 10),
            Some(TransportError::Interrupted {
                received, expected, ..
            }) => {
                assert_eq!((received, expected), (bytes.len() as u64, Some(10)));
            }
            Some(TransportError::Unreachable { .. }) => assert!(bytes.is_empty()),
            other => panic!("at {at}: {other:?}"),
        }
    }
}

#[test]
fn an_error_stays_one_for_a_reader_that_asks_again() {
    let mirror = Mirror::that(Misbehaviour::Truncate { at: 4 });
    let mut body = mirror.transport.open(FILE, 0).unwrap();
    body.reader.read_exact(&mut [0; 4]).unwrap();
    for _ in 0..2 {
        let failed = body.reader.read(&mut [0; 4]).unwrap_err();
        let failed = TransportError::from_body(FILE, failed);
        assert!(matches!(
            failed,
            TransportError::Interrupted { received: 4, .. }
        ));
    }
}

#[test]
fn a_line_that_drops_all_the_time_costs_no_byte_twice() {
    let mirror = Mirror::of(1 << 20);
    let at = 64 << 10;
    mirror.server.misbehave(FILE, Misbehaviour::Truncate { at });
    let mut received = Vec::new();
    while received.len() < mirror.content.len() {
        let (bytes, _) = mirror.read(received.len() as u64);
        received.extend(bytes);
    }
    assert_eq!(received, mirror.content);
    let traffic = mirror.server.traffic();
    assert_eq!((traffic.bodies, traffic.requests), (1 << 20, 16));
}

#[test]
fn a_server_that_is_not_there_or_talks_nonsense_is_unreachable() {
    for misbehaviour in [Misbehaviour::HangUp, Misbehaviour::Garble] {
        let mirror = Mirror::that(misbehaviour);
        let address = mirror.server.url();
        match mirror.refusal(0) {
            TransportError::Unreachable { address: found, .. } => assert_eq!(found, address),
            other => panic!("{other:?}"),
        }
    }
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let refused = HttpTransport::new(&url).unwrap().open(FILE, 0).unwrap_err();
    assert!(
        matches!(&refused, TransportError::Unreachable { address, reason }
            if *address == url && reason.contains("refused")),
        "{refused:?}"
    );
    assert!(refused.is_retryable());
}

#[test]
fn a_server_that_says_nothing_is_given_up() {
    let (mirror, stall) = Mirror::that(Misbehaviour::Silence).hurried();
    let timeout = TransportError::Timeout {
        location: location(),
        received: 0,
        after: stall * 2,
    };
    assert_eq!(mirror.refusal(0), timeout);
}

#[test]
fn a_body_that_stalls_is_given_up_and_keeps_what_arrived() {
    let (mirror, after) = Mirror::that(Misbehaviour::Stall { at: 4 }).hurried();
    let timeout = TransportError::Timeout {
        location: location(),
        received: 7,
        after,
    };
    let expected = (mirror.content[3..7].to_vec(), Some(timeout));
    assert_eq!(mirror.read(3), expected);
}

#[test]
fn a_body_that_goes_on_in_time_arrives() {
    let mirror = Mirror::that(Misbehaviour::Stall { at: 4 });
    let mut body = mirror.transport.open(FILE, 0).unwrap();
    mirror.server.wait_until_stalled();
    mirror.server.release();
    let mut bytes = Vec::new();
    body.reader.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, mirror.content);
}

#[test]
fn a_body_that_nobody_reads_holds_up_no_other_and_ends_when_dropped() {
    let mirror = Mirror::of(1000);
    mirror.server.misbehave("endless", Misbehaviour::Endless);
    fs::write(mirror.folder.path().join("endless"), b"").unwrap();
    let mut endless = mirror.transport.open("endless", 0).unwrap();
    assert_eq!(endless.total, None);
    endless.reader.read_exact(&mut [0; 100_000]).unwrap();
    assert_eq!(mirror.read(0), (mirror.content.clone(), None));
    drop(endless);
    drop(mirror.transport);
    mirror.server.wait_until_left();
}

#[test]
fn a_body_of_unknown_length_arrives_whole() {
    let mirror = Mirror::that(Misbehaviour::Chunked);
    assert_eq!(mirror.transport.open(FILE, 0).unwrap().total, None);
    assert_eq!(mirror.read(0), (mirror.content.clone(), None));
    // A part says how long it is even so.
    let body = mirror.transport.open(FILE, 3).unwrap();
    assert_eq!((body.starts_at, body.total), (3, Some(10)));
}

#[test]
fn a_transport_believes_what_arrives() {
    // Comparing it with what is trusted is the business of whoever asked.
    let mirror = Mirror::that(Misbehaviour::Flip { byte: 5 });
    let (bytes, _) = mirror.read(3);
    assert_eq!(bytes[2], mirror.content[5] ^ 1);
    assert_eq!(bytes[3..], mirror.content[6..]);
    let mirror = Mirror::that(Misbehaviour::Instead(b"another".to_vec()));
    assert_eq!(mirror.read(2), (b"other".to_vec(), None));
}

#[test]
fn a_body_that_a_proxy_compressed_is_refused() {
    let encoded = TransportError::Encoded {
        location: location(),
        encoding: "gzip".to_owned(),
    };
    assert_eq!(Mirror::that(Misbehaviour::Gzip).refusal(0), encoded);
}

#[test]
fn redirects_are_followed_also_to_another_host() {
    let mirror = Mirror::of(10);
    let port = mirror.server.address().port();
    let elsewhere = format!("http://localhost:{port}/{FILE}");
    for (from, to) in [
        ("a", "/b"),
        ("b", "/c"),
        ("c", "/d"),
        ("d", elsewhere.as_str()),
    ] {
        mirror
            .server
            .misbehave(from, Misbehaviour::Redirect(to.to_owned()));
    }
    let mut body = mirror.transport.open("a", 7).unwrap();
    let mut bytes = Vec::new();
    body.reader.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, mirror.content[7..]);
    let requests = mirror.server.requests();
    assert!(requests.iter().all(|request| request.from == Some(7)));
    assert!(requests.iter().all(|r| !r.headers.contains_key("referer")));
}

#[test]
fn redirects_in_circles_and_out_of_http_are_refused() {
    for to in ["/content/ab/abcd", "ftp://mirror.example/x"] {
        let mirror = Mirror::that(Misbehaviour::Redirect(to.to_owned()));
        let redirected = TransportError::Redirected {
            location: location(),
            to: to.to_owned(),
        };
        assert_eq!(mirror.refusal(0), redirected);
        assert!(mirror.server.traffic().requests <= 6);
    }
}

#[test]
fn a_login_page_is_a_captive_portal_with_its_address() {
    let mirror = Mirror::that(Misbehaviour::LoginPage);
    let portal = |page| TransportError::CaptivePortal {
        location: location(),
        page,
    };
    let page = format!("{}/{FILE}", mirror.server.url());
    assert_eq!(mirror.refusal(0), portal(page));
    let mirror = Mirror::that(Misbehaviour::LoginRedirect);
    let page = format!("http://localhost:{}/login", mirror.server.address().port());
    assert_eq!(mirror.refusal(0), portal(page));
}

/// What a host with a runtime of its own would do.
fn use_a_transport() {
    let mirror = Mirror::of(1000);
    assert_eq!(mirror.read(0), (mirror.content.clone(), None));
    let half_read = mirror.transport.open(FILE, 0).unwrap();
    drop(mirror.transport);
    drop(half_read);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_of_a_runtime_with_threads_may_use_a_transport() {
    tokio::spawn(async { use_a_transport() }).await.unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn a_task_of_a_runtime_without_threads_may_use_a_transport() {
    tokio::spawn(async { use_a_transport() }).await.unwrap();
}

#[test]
fn a_body_outlives_its_transport_and_the_line_ends_with_it() {
    let Mirror {
        server,
        transport,
        content,
        folder: _folder,
    } = Mirror::of(3 << 20);
    let mut body = transport.open(FILE, 0).unwrap();
    drop(transport);
    let mut bytes = Vec::new();
    body.reader.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, content);
    drop(body);
    server.wait_until_left();
}

#[test]
fn several_threads_share_a_transport() {
    let mirror = Mirror::of(300_000);
    std::thread::scope(|scope| {
        for from in [0, 1, 100_000, 299_999] {
            let mirror = &mirror;
            scope.spawn(move || {
                let start = usize::try_from(from).unwrap();
                assert_eq!(mirror.read(from), (mirror.content[start..].to_vec(), None));
            });
        }
    });
    assert_eq!(mirror.server.traffic().requests, 4);
}

#[test]
fn the_server_calls_at_the_very_byte() {
    let mirror = Mirror::of(100_000);
    let (tell, told) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    mirror.server.when_sent(FILE, 70_001, move || {
        tell.send(()).unwrap();
        released.recv().unwrap();
    });
    let mut body = mirror.transport.open(FILE, 0).unwrap();
    told.recv().unwrap();
    assert_eq!(mirror.server.requests()[0].sent, 70_001);
    release.send(()).unwrap();
    let mut bytes = Vec::new();
    body.reader.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, mirror.content);
    assert_eq!(mirror.server.traffic().bodies, 100_000);
}

#[test]
fn an_endless_head_is_refused_before_it_fills_the_memory() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let endless = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut sent = 0_u64;
        stream.write_all(b"HTTP/1.1 200 OK\r\nx: ").unwrap();
        while stream.write_all(&[b'x'; 4096]).is_ok() {
            sent += 4096;
        }
        sent
    });
    let refused = HttpTransport::new(&url).unwrap().open(FILE, 0).unwrap_err();
    assert!(
        matches!(refused, TransportError::Unreachable { .. }),
        "{refused:?}"
    );
    assert!(endless.join().unwrap() < 32 << 20);
}
