#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic)] // Helpers of tests are tests as well.

use std::fs;
use std::path::Path;

use ed25519_dalek::SigningKey;
use release_format::Ed25519Signer;

use super::*;

/// Opens a hook whose script answers by the operation in `$request`.
fn hook(folder: &Path, script: &str, timeout: Duration) -> Result<HookSigner, SignerError> {
    let path = folder.join("hook.sh");
    fs::write(&path, format!("read -r request\n{script}\n")).unwrap();
    HookSigner::open(&format!("sh {}", path.display()), timeout)
}

fn key() -> Ed25519Signer {
    Ed25519Signer::new(SigningKey::from_bytes(&[7; 32]))
}

fn public_hex() -> String {
    hex::encode(SigningKey::from_bytes(&[7; 32]).verifying_key().as_bytes())
}

/// A script that shows its key, and answers `sign` to what it is asked to sign.
fn script(sign: &str) -> String {
    let public = public_hex();
    format!(
        "case $request in\n\
         *public-key*) echo '{{\"schema\":1,\"scheme\":\"ed25519\",\"public\":\"{public}\"}}' ;;\n\
         *) {sign} ;;\nesac"
    )
}

#[track_caller]
fn assert_failed<T>(outcome: Result<T, SignerError>, expected: &str) {
    match outcome {
        Err(SignerError { reason }) => assert!(reason.contains(expected), "{reason}"),
        Ok(_) => panic!("expected a failure: {expected}"),
    }
}

const LONG: Duration = Duration::from_secs(60);

#[test]
fn hook_shows_its_key_and_signs() {
    let folder = tempfile::tempdir().unwrap();
    let signature = hex::encode(key().sign(b"lesson").unwrap());
    let sign = format!("echo '{{\"schema\":1,\"signature\":\"{signature}\"}}'");
    let signer = hook(folder.path(), &script(&sign), LONG).unwrap();
    assert_eq!(signer.public_key(), key().public_key());
    assert_eq!(
        signer.sign(b"lesson").unwrap(),
        key().sign(b"lesson").unwrap()
    );
    // What it signs is checked: it knows one signature, and this is not its message.
    assert_failed(signer.sign(b"another"), "expected a signature by the key");
}

#[test]
fn hook_that_never_answers_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let short = Duration::from_millis(300);
    let started = Instant::now();
    let silent = hook(folder.path(), "exec tail -f /dev/null", short);
    assert_failed(silent, "expected within 0.3 s, found nothing");
    // One that closes its stdout and stays is none the better.
    let lingering = "echo '{}'; exec tail -f /dev/null >/dev/null";
    assert_failed(
        hook(folder.path(), lingering, short),
        "expected within 0.3 s",
    );
    assert!(started.elapsed() < Duration::from_secs(30));
}

#[test]
fn hook_that_never_ends_its_answer_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let endless = hook(folder.path(), "exec yes", LONG);
    assert!(endless.is_err());
    let long = "head -c 70000 /dev/zero | tr '\\0' x";
    let refused = hook(folder.path(), long, LONG);
    assert!(refused.is_err());
}

#[test]
fn hook_that_fails_is_told_with_what_it_said() {
    let folder = tempfile::tempdir().unwrap();
    let answer = script("exit 3");
    let signer = hook(folder.path(), &answer, LONG).unwrap();
    assert_failed(
        signer.sign(b"lesson"),
        "expected exit code 0, found exit status: 3",
    );
    let answer = script("echo '{\"schema\":1,\"error\":\"no such slot\"}'");
    let signer = hook(folder.path(), &answer, LONG).unwrap();
    assert_failed(signer.sign(b"lesson"), "sign: no such slot");
    for (script, expected) in [
        ("echo lesson", "found \"lesson\""),
        ("echo '{\"schema\":2,\"public\":\"00\"}'", "with schema 1"),
        ("echo '{\"schema\":1}'", "with schema 1 and \"public\""),
        (
            "echo '{\"schema\":1,\"public\":\"00\"}'",
            "64 hexadecimal digits, found \"00\"",
        ),
    ] {
        assert_failed(hook(folder.path(), script, LONG), expected);
    }
    let absent = HookSigner::open("/no/such/program", LONG);
    assert_failed(absent, "exec:/no/such/program: public-key");
}

#[test]
fn hook_that_reads_nothing_may_answer_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deaf.sh");
    let public = public_hex();
    fs::write(
        &path,
        format!("echo '{{\"schema\":1,\"public\":\"{public}\"}}'"),
    )
    .unwrap();
    let signer = HookSigner::open(&format!("sh {}", path.display()), LONG).unwrap();
    assert_eq!(signer.public_key(), key().public_key());
}
