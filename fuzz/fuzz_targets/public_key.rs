//! Whatever stands where a public key should, and whatever it is said to have signed: nothing panics, and
//! nothing verifies that nobody has signed.
#![no_main]

mod golden_chain;

use golden_chain::{ROOT, pinned};
use libfuzzer_sys::fuzz_target;
use release_format::{TrustLimits, TrustedSet};
use serde_json::{Value, json};

const KINDS: [(&str, &str); 5] = [
    ("ecdsa", "ecdsa-sha2-nistp256"),
    ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256"),
    ("rsa", "rsassa-pss-sha256"),
    ("ed25519", "ed25519"),
    ("ecdsa", "rsassa-pss-sha256"),
];

fuzz_target!(|bytes: &[u8]| {
    let [kind, split, rest @ ..] = bytes else {
        return;
    };
    let (kind, scheme) = KINDS[usize::from(*kind) % KINDS.len()];
    let (public, signature) = rest.split_at(usize::from(*split).min(rest.len()) * rest.len() / 256);
    let public = match scheme {
        "ed25519" => json!(hex(public)),
        // A key in PEM, of whatever bytes: what is in it decides, and not its frame.
        _ => json!(pem(public)),
    };
    let key = json!({ "keytype": kind, "scheme": scheme, "keyval": { "public": public } });
    // The root is signed by its own key; another role has the strange one.
    let mut root: Value = serde_json::from_slice(ROOT).expect("the fixture is JSON");
    root["signed"]["keys"]["strange"] = key.clone();
    root["signed"]["roles"]["root"] = json!({ "keyids": ["strange"], "threshold": 1 });
    root["signatures"] = json!([{ "keyid": "strange", "sig": hex(signature) }]);
    let file = serde_json::to_vec(&root).expect("JSON is written");
    let refused = TrustedSet::pinned(&file, TrustLimits::standard());
    assert!(refused.is_err(), "nobody has signed this");
    assert!(pinned().update_root(&file).is_err(), "nor does the chain lead here");
});

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn pem(bytes: &[u8]) -> String {
    if bytes.first() == Some(&b'-') {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::from("-----BEGIN PUBLIC KEY-----\n");
    let mut column = 0;
    for group in bytes.chunks(3) {
        let word = group.iter().chain([&0; 2]).take(3);
        let word = word.fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
        for place in 0..4 {
            let digit = DIGITS[(word >> (18 - 6 * place) & 63) as usize];
            text.push(if place > group.len() { '=' } else { char::from(digit) });
        }
        column += 4;
        if column == 64 {
            text.push('\n');
            column = 0;
        }
    }
    if column > 0 {
        text.push('\n');
    }
    text + "-----END PUBLIC KEY-----\n"
}
