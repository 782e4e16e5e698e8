//! Lines that drop, stall and lie while a device updates over HTTP: it goes on where it stopped.

use std::sync::Arc;
use std::time::Duration;

use satchel_tests::rig::server::{Misbehaviour, Request, Server};
use satchel_tests::rig::world::{Device, Partial, World, first_course, second_course};
use updater_client::transport::TransportError;
use updater_client::{CancelToken, ErrorKind, HttpTransport, UpdateError, Updated};

const CONTENT: &str = "content/*";

struct Line {
    server: Server,
    world: World,
    updating: Device,
}

impl Line {
    fn new() -> Line {
        let (world, updating) = World::with_an_update();
        let server = Server::start(world.repository()).unwrap();
        Line {
            server,
            world,
            updating,
        }
    }

    /// A line over which every file comes whole: by a patch, devices would get around what is wrong.
    fn that(pattern: &str, misbehaviour: Misbehaviour) -> Line {
        let line = Line::new();
        let patches = line.world.repository().join("metadata/patches");
        std::fs::remove_dir_all(patches).unwrap();
        line.server.misbehave(pattern, misbehaviour);
        line
    }

    fn update(&self, device: &Device) -> Result<Updated, UpdateError> {
        let soon = Duration::from_millis(500);
        let transport = HttpTransport::builder(&self.server.url())
            .connect_timeout(soon)
            .stall_timeout(soon)
            .build()
            .unwrap();
        device.update_over(Arc::new(transport))
    }

    fn check(&self) {
        let mirror = Arc::new(HttpTransport::new(&self.server.url()).unwrap());
        let updater = self.updating.builder().repository(mirror).build().unwrap();
        let pack = self.world.pack();
        updater.check(pack, &CancelToken::new()).unwrap();
    }

    /// Sends some of the content, and not a byte more to whoever asks again.
    fn stalls_for_good_at(&self, at: u64) {
        self.server
            .misbehave_times(CONTENT, 1, Misbehaviour::Stall { at });
        self.server.misbehave(CONTENT, Misbehaviour::Silence);
    }

    /// Updates in vain, then over a line that behaves.
    fn fails(&self, expected: ErrorKind) -> UpdateError {
        let failed = self
            .update(&self.updating)
            .expect_err("the update did not notice");
        assert_eq!(failed.kind(), expected, "{failed}");
        self.updating.assert_has(&first_course());
        self.updating.assert_tidy(Partial::Kept);
        self.server.behave();
        self.server.release();
        self.update(&self.updating).unwrap();
        self.updating.assert_has(&second_course());
        self.updating.assert_tidy(Partial::Gone);
        failed
    }

    /// Returns the bytes of content that the server has sent, and the first bytes that were asked for.
    fn content_sent(&self) -> (u64, Vec<Option<u64>>) {
        let requests = self.server.requests();
        let content = requests
            .iter()
            .filter(|request| request.location.starts_with("content/"));
        let (sent, from): (Vec<u64>, Vec<_>) = content.map(|r| (r.sent, r.from)).unzip();
        (sent.iter().sum(), from)
    }
}

#[test]
fn a_line_that_drops_again_and_again_costs_no_byte_of_content_twice() {
    let line = Line::that(CONTENT, Misbehaviour::Truncate { at: 9_000 });
    let device = line.world.device();
    let updated = line.update(&device).unwrap();
    device.assert_has(&second_course());
    let (sent, from) = line.content_sent();
    assert_eq!(sent, updated.route.unwrap().hops[0].delta.length);
    assert!(from.len() > 3, "{from:?}");
    assert_eq!(&from[..3], [None, Some(9_000), Some(18_000)]);
}

#[test]
fn documents_go_on_where_a_line_dropped_them() {
    let dropping = Misbehaviour::Truncate { at: 600 };
    let line = Line::that("targets/*", dropping.clone());
    line.server.misbehave("metadata/*acme.json", dropping);
    let device = line.world.device();
    line.update(&device).unwrap();
    device.assert_has(&second_course());
    let requests = line.server.requests();
    let of_catalogue = |r: &&Request| r.location.ends_with(".catalogue");
    let from: Vec<_> = requests
        .iter()
        .filter(of_catalogue)
        .map(|r| r.from)
        .collect();
    assert_eq!(&from[..3], [None, Some(600), Some(1_200)]);
    let sent: u64 = requests.iter().filter(of_catalogue).map(|r| r.sent).sum();
    assert!(sent < 600 * from.len() as u64 + 1, "{sent} in {from:?}");
}

#[test]
fn a_timestamp_that_is_cut_is_fetched_anew_since_it_may_be_another_by_then() {
    let line = Line::new();
    let cut = Misbehaviour::Reset { at: 300 };
    line.server
        .misbehave_times("metadata/timestamp.json", 1, cut);
    line.update(&line.updating).unwrap();
    let requests = line.server.requests();
    let timestamps = requests
        .iter()
        .filter(|r| r.location.ends_with("timestamp.json"));
    let from: Vec<_> = timestamps.map(|r| r.from).collect();
    assert_eq!(from, [None, None]);
}

#[test]
fn a_check_that_finds_nothing_new_asks_twice_and_for_less_than_2_kb() {
    let line = Line::new();
    line.update(&line.updating).unwrap();
    line.updating.confirm();
    line.server.forget();
    line.check();
    let traffic = line.server.traffic();
    let requests = line.server.requests();
    let asked: Vec<_> = requests.iter().map(|r| r.location.as_str()).collect();
    assert_eq!(asked, ["metadata/2.root.json", "metadata/timestamp.json"]);
    assert!(traffic.heads + traffic.bodies < 2_000, "{traffic:?}");
}

#[test]
fn a_reset_at_any_byte_of_the_timestamp_loses_nothing() {
    let line = Line::new();
    line.update(&line.updating).unwrap();
    let length = line.world.repository().join("metadata/timestamp.json");
    let length = std::fs::metadata(length).unwrap().len();
    for at in 0..length {
        let reset = Misbehaviour::Reset { at };
        line.server
            .misbehave_times("metadata/timestamp.json", 1, reset);
        line.check();
        line.server.behave();
    }
}

#[test]
fn a_reset_in_any_file_of_a_first_install_loses_nothing() {
    let line = Line::new();
    line.update(&line.world.device()).unwrap();
    let fetched: Vec<Request> = line.server.requests();
    let fetched = fetched.into_iter().filter(|r| r.status == Some(200));
    for file in fetched {
        for at in [0, 1, file.sent / 2, file.sent - 1] {
            line.server.behave();
            let reset = Misbehaviour::Reset { at };
            line.server.misbehave_times(&file.location, 1, reset);
            let device = line.world.device();
            line.update(&device).unwrap();
            assert_eq!(device.active_label().as_deref(), Some("1.1"));
        }
    }
}

#[test]
fn a_server_that_stalls_in_mid_fetch_is_given_up_and_the_next_update_goes_on_there() {
    let line = Line::new();
    line.stalls_for_good_at(5_000);
    let failed = line.fails(ErrorKind::Unreachable);
    let stalled = matches!(
        failed,
        UpdateError::Transport(TransportError::Timeout { .. })
    );
    assert!(stalled, "{failed}");
    let (_, from) = line.content_sent();
    assert_eq!(from.last(), Some(&Some(5_000)), "{from:?}");
}

#[test]
fn a_server_that_says_nothing_is_given_up() {
    for pattern in ["metadata/timestamp.json", "targets/*", CONTENT] {
        Line::that(pattern, Misbehaviour::Silence).fails(ErrorKind::Unreachable);
    }
}

#[test]
fn a_server_that_ends_early_before_any_byte_is_given_up() {
    for pattern in ["metadata/timestamp.json", CONTENT] {
        Line::that(pattern, Misbehaviour::Truncate { at: 0 }).fails(ErrorKind::Unreachable);
        Line::that(pattern, Misbehaviour::HangUp).fails(ErrorKind::Unreachable);
    }
}

#[test]
fn metadata_that_ends_early_is_never_taken_for_whole() {
    for pattern in [
        "metadata/timestamp.json",
        "metadata/*snapshot.json",
        "metadata/*acme.json",
    ] {
        Line::that(pattern, Misbehaviour::Truncate { at: 40 }).fails(ErrorKind::Unreachable);
    }
}

#[test]
fn a_server_without_ranges_is_read_past_what_is_at_hand() {
    let line = Line::new();
    let cut = Misbehaviour::Truncate { at: 30_000 };
    line.server.misbehave_times(CONTENT, 1, cut);
    line.server.misbehave(CONTENT, Misbehaviour::IgnoreRange);
    let device = line.world.device();
    line.update(&device).unwrap();
    device.assert_has(&second_course());
}

#[test]
fn a_login_page_is_told_as_a_captive_portal_wherever_it_appears() {
    for pattern in ["*", "metadata/timestamp.json", "targets/*", CONTENT] {
        for page in [Misbehaviour::LoginPage, Misbehaviour::LoginRedirect] {
            let failed = Line::that(pattern, page).fails(ErrorKind::Unreachable);
            assert_eq!(failed.code(), "captive-portal", "{pattern}: {failed}");
        }
    }
}

#[test]
fn a_server_in_trouble_is_unreachable_and_not_an_attack() {
    for wrong in [
        Misbehaviour::Status(503),
        Misbehaviour::Status(429),
        Misbehaviour::Garble,
        Misbehaviour::Redirect("/metadata/timestamp.json".to_owned()),
    ] {
        Line::that("metadata/timestamp.json", wrong).fails(ErrorKind::Unreachable);
    }
}

#[test]
fn a_server_that_is_not_there_is_unreachable() {
    let line = Line::new();
    let gone = Server::start(line.world.repository()).unwrap().url();
    let transport = HttpTransport::new(&gone).unwrap();
    let failed = line.updating.update_over(Arc::new(transport)).unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::Unreachable, "{failed}");
    line.updating.assert_has(&first_course());
}

#[test]
fn endless_metadata_is_cut_off_and_endless_content_read_no_further_than_signed() {
    let endless = |pattern| Line::that(pattern, Misbehaviour::Endless);
    for pattern in [
        "metadata/timestamp.json",
        "metadata/*snapshot.json",
        "targets/*",
        CONTENT,
    ] {
        endless(pattern).fails(ErrorKind::Refused);
    }
}

#[test]
fn content_with_one_wrong_bit_is_dropped_and_fetched_anew() {
    let line = Line::that(CONTENT, Misbehaviour::Flip { byte: 3_000 });
    let failed = line.fails(ErrorKind::Refused);
    assert!(matches!(failed, UpdateError::Format(_)), "{failed}");
    let (_, from) = line.content_sent();
    assert_eq!(from.last(), Some(&None), "{from:?}");
}

#[test]
fn a_partial_that_has_rotted_is_dropped_and_fetched_anew_within_one_update() {
    let line = Line::new();
    line.stalls_for_good_at(5_000);
    line.update(&line.updating).unwrap_err();
    let downloads = satchel_tests::rig::world::files_below(&line.updating.layout().downloads());
    let mut bytes = std::fs::read(&downloads[0]).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&downloads[0], bytes).unwrap();
    line.server.behave();
    line.update(&line.updating).unwrap();
    line.updating.assert_has(&second_course());
    line.updating.assert_tidy(Partial::Gone);
}
