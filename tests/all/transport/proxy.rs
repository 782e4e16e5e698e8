//! Proxies are those of the environment, so each test runs again in a process that has one.

use std::env;
use std::fs;
use std::io::Read;
use std::process::Command;

use satchel_tests::rig::server::{Misbehaviour, Server};
use updater_client::{HttpTransport, Transport, TransportError};

const MARK: &str = "SATCHEL_TESTS_BEHIND_PROXY";

fn is_behind_proxy() -> bool {
    env::var_os(MARK).is_some()
}

/// Runs the test `name` alone in a process whose proxy is `proxy`.
fn run_behind(proxy: &Server, name: &str) {
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", &format!("transport::proxy::{name}")])
        .env(MARK, "1")
        .envs([("HTTP_PROXY", proxy.url()), ("HTTPS_PROXY", proxy.url())])
        .envs([("http_proxy", proxy.url()), ("https_proxy", proxy.url())])
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}");
    assert!(told.contains("1 passed"), "{told}");
}

#[test]
fn a_mirror_elsewhere_is_asked_through_the_proxy() {
    if is_behind_proxy() {
        let transport = HttpTransport::new("http://mirror.example/packs").unwrap();
        let mut body = transport.open("file", 0).unwrap();
        let mut text = String::new();
        body.reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "through");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("packs")).unwrap();
    fs::write(folder.path().join("packs/file"), b"through").unwrap();
    let proxy = Server::start(folder.path()).unwrap();
    run_behind(&proxy, "a_mirror_elsewhere_is_asked_through_the_proxy");
    let requests = proxy.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].headers["host"], "mirror.example");
}

#[test]
fn a_mirror_on_this_device_is_asked_without_the_proxy() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path()).unwrap();
    if is_behind_proxy() {
        let transport = HttpTransport::new(&server.url()).unwrap();
        let refused = transport.open("file", 0).unwrap_err();
        assert!(
            matches!(refused, TransportError::Absent { .. }),
            "{refused:?}"
        );
        return;
    }
    run_behind(
        &server,
        "a_mirror_on_this_device_is_asked_without_the_proxy",
    );
    assert_eq!(server.traffic().requests, 0);
}

#[test]
fn a_proxy_that_wants_a_login_is_told_from_a_mirror_that_does() {
    if is_behind_proxy() {
        for url in ["http://mirror.example", "https://mirror.example"] {
            let refused = HttpTransport::new(url).unwrap().open("x", 0).unwrap_err();
            let address = url.to_owned();
            assert_eq!(refused, TransportError::ProxyLogin { address });
        }
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let proxy = Server::start(folder.path()).unwrap();
    proxy.misbehave("*", Misbehaviour::Status(407));
    run_behind(
        &proxy,
        "a_proxy_that_wants_a_login_is_told_from_a_mirror_that_does",
    );
    assert_eq!(proxy.traffic().requests, 2);
}
