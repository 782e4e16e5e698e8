//! HTTPS against an authority of one's own, at a time of one's own.

use std::io::Read;
use std::sync::Arc;

use release_format::UtcTime;
use satchel_tests::rig::course::Course;
use satchel_tests::rig::server::Server;
use satchel_tests::rig::tls::{Authority, Clients};
use satchel_tests::rig::world::World;
use updater_client::{
    CancelToken, Clock, HttpTransport, Https, SystemClock, Transport, TransportError,
    UpdateOptions, Updater,
};

fn believing(authority: &Authority) -> Https {
    Https::new().extra_roots(authority.root.as_bytes())
}

struct StoppedClock(UtcTime);

impl Clock for StoppedClock {
    fn now(&self) -> UtcTime {
        self.0
    }
}

fn at(time: &str) -> Arc<dyn Clock> {
    Arc::new(StoppedClock(UtcTime::parse(time).unwrap()))
}

#[test]
fn an_authority_of_ones_own_is_accepted_as_an_extra_root() {
    let authority = Authority::start();
    let transport = HttpTransport::builder(&authority.url())
        .https(believing(&authority))
        .clock(at("2025-06-01T00:00:00Z"))
        .build()
        .unwrap();
    let mut body = transport.open("metadata/timestamp.json", 0).unwrap();
    let mut text = String::new();
    body.reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "{}");
}

#[test]
fn certificates_are_judged_at_the_time_of_the_clients_clock() {
    let authority = Authority::start();
    for time in ["1970-01-02T00:00:00Z", "2035-01-01T00:00:00Z"] {
        let transport = HttpTransport::builder(&authority.url())
            .https(believing(&authority))
            .clock(at(time))
            .build()
            .unwrap();
        let refused = transport.open("x", 0).unwrap_err();
        assert!(
            matches!(refused, TransportError::Certificate { .. }),
            "{refused:?}"
        );
        assert!(refused.needs_administrator() && !refused.is_retryable());
    }
}

#[test]
fn an_unknown_authority_is_refused() {
    let url = Authority::start().url();
    let builder = HttpTransport::builder(&url).clock(at("2025-06-01T00:00:00Z"));
    let refused = builder.build().unwrap().open("x", 0).unwrap_err();
    assert!(
        matches!(&refused, TransportError::Certificate { address, .. } if *address == url),
        "{refused:?}"
    );
}

#[test]
fn a_server_without_tls_is_unreachable_over_https() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path()).unwrap();
    let url = format!("https://{}", server.address());
    let refused = HttpTransport::new(&url).unwrap().open("x", 0).unwrap_err();
    assert!(
        matches!(refused, TransportError::Unreachable { .. }),
        "{refused:?}"
    );
}

#[test]
fn a_server_is_spoken_with_only_if_its_key_is_a_pinned_one() {
    let authority = Authority::start();
    let open = |https: Https| {
        let builder = HttpTransport::builder(&authority.url()).https(https);
        let transport = builder.clock(at("2025-06-01T00:00:00Z")).build().unwrap();
        transport.open("x", 0).map(|_| ())
    };
    let (pinned, next) = (authority.key_digest, [7; 32]);
    for https in [
        believing(&authority).pinned_key(pinned),
        believing(&authority).pinned_key(next).pinned_key(pinned),
    ] {
        open(https).unwrap();
    }
    let refused = open(believing(&authority).pinned_key(next)).unwrap_err();
    assert!(
        matches!(&refused, TransportError::Certificate { reason, .. } if reason.contains("pinned")),
        "{refused:?}"
    );
    // A pinned key makes no certificate good.
    let refused = open(Https::new().pinned_key(pinned)).unwrap_err();
    assert!(
        matches!(refused, TransportError::Certificate { .. }),
        "{refused:?}"
    );
}

#[test]
fn a_library_updates_from_a_server_that_lets_known_devices_in_alone() {
    let world = World::at(SystemClock.now());
    let course = Course::bulky(1);
    world.publish("1.0", &course);
    let server = Server::start(world.repository()).unwrap();
    let authority = Authority::before(server.address(), Clients::Known);
    let library = world.folder().join("known");
    updater_client::enroll(&library, world.root(), vec![authority.url()]).unwrap();
    let stranger = Authority::start();
    let update = |https: Https| {
        let updater = Updater::builder(&library).https(https).build().unwrap();
        let (options, cancel) = (UpdateOptions::default(), CancelToken::new());
        updater.update(world.pack(), &options, &cancel).map(|_| ())
    };
    for refused in [
        believing(&authority),
        believing(&authority).identity(stranger.identity().as_bytes()),
    ] {
        let refused = update(refused).unwrap_err();
        assert_eq!(refused.code(), "wrong-certificate", "{refused}");
        assert_eq!(server.traffic().requests, 0);
    }
    let identity = authority.identity();
    update(believing(&authority).identity(identity.as_bytes())).unwrap();
    world.device().at(library).assert_has(&course);
}
