//! HTTPS against an authority of one's own, at a time of one's own.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use release_format::UtcTime;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use satchel_tests::rig::server::Server;
use updater_client::{Clock, HttpTransport, Transport, TransportError};

/// A server for 127.0.0.1 whose certificates are good from 2020 to 2030, and who signed them.
struct Authority {
    address: SocketAddr,
    root: String,
}

fn authority() -> Authority {
    let key = KeyPair::generate().unwrap();
    let mut params = dated(Vec::new());
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = params.self_signed(&key).unwrap();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let leaf = dated(vec!["127.0.0.1".to_owned()]);
    let leaf = leaf.signed_by(&key, &issuer).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || greet(&listener, &Arc::new(config)));
    let root = root.pem();
    Authority { address, root }
}

fn dated(names: Vec<String>) -> CertificateParams {
    let mut params = CertificateParams::new(names).unwrap();
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2030, 1, 1);
    params
}

/// Answers every request with the same two bytes, until the process ends.
fn greet(listener: &TcpListener, config: &Arc<ServerConfig>) {
    for stream in listener.incoming() {
        let connection = ServerConnection::new(Arc::clone(config)).unwrap();
        let mut stream = StreamOwned::new(connection, stream.unwrap());
        let mut request = [0; 4096];
        // A client that refuses the certificate has left.
        if stream.read(&mut request).is_ok() {
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
            stream.write_all(answer).unwrap();
        }
    }
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
    let authority = authority();
    let transport = HttpTransport::builder(&format!("https://{}", authority.address))
        .extra_roots(authority.root.as_bytes())
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
    let authority = authority();
    for time in ["1970-01-02T00:00:00Z", "2035-01-01T00:00:00Z"] {
        let transport = HttpTransport::builder(&format!("https://{}", authority.address))
            .extra_roots(authority.root.as_bytes())
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
    let url = format!("https://{}", authority().address);
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
