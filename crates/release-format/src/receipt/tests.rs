use serde_json::Value;

use super::identity::DeviceKey;
use super::otlp::otlp_logs;
use super::signed::{ReceiptError, SignedReceipt};
use super::*;
use crate::worked_example;

const DOCUMENT: &str = include_str!("../../../../docs/src/formats/receipt.md");

fn key() -> DeviceKey {
    DeviceKey::from_seed(&[7; DeviceKey::SEED_LENGTH])
}

fn receipt(outcome: ReceiptOutcome) -> Receipt {
    let reason = Reason::new("openings", "opened 3 times without a confirmation").unwrap();
    Receipt {
        id: ReceiptId::parse("00112233445566778899aabbccddeeff").unwrap(),
        device: key().id(),
        pack: PackName::parse("acme/biology-101").unwrap(),
        release: Digest::of(b"a manifest"),
        label: Label::parse("1.4.0").unwrap(),
        channel: ChannelName::default(),
        outcome,
        reason: outcome.needs_reason().then_some(reason),
        route: ReceiptRoute::Delta,
        fetched_bytes: 4_096,
        update_seconds: 12,
        trial_seconds: 3_600,
        time: UtcTime::parse("2026-11-21T08:00:00Z").unwrap(),
        clock_believed: true,
        client: "0.1.0".to_owned(),
    }
}

#[test]
fn documented_example_is_read_and_is_what_is_written() {
    let example = worked_example::json(DOCUMENT).trim_end();
    let signed = key().sign(receipt(ReceiptOutcome::Reverted)).unwrap();
    assert_eq!(String::from_utf8(signed.encode()).unwrap(), example);
    assert_eq!(SignedReceipt::decode(example.as_bytes()), Ok(signed));
}

#[test]
fn every_outcome_survives_its_bytes_and_is_documented() {
    for outcome in ReceiptOutcome::ALL {
        let signed = key().sign(receipt(outcome)).unwrap();
        assert_eq!(SignedReceipt::decode(&signed.encode()), Ok(signed));
        assert_eq!(ReceiptOutcome::named(outcome.name()), Some(outcome));
        assert!(DOCUMENT.contains(&format!("`{}`", outcome.name())));
    }
}

#[test]
fn what_is_written_is_canonical() {
    let bytes = key()
        .sign(receipt(ReceiptOutcome::Failed))
        .unwrap()
        .encode();
    let value: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(crate::offer::json::write(&value), bytes);
}

#[test]
fn no_byte_of_a_receipt_can_be_changed() {
    let bytes = key()
        .sign(receipt(ReceiptOutcome::Failed))
        .unwrap()
        .encode();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        // A digit of the signature may be spelled in capitals only by another bit.
        assert!(SignedReceipt::decode(&changed).is_err(), "byte {at}");
    }
}

#[test]
fn a_receipt_of_another_device_is_not_believed() {
    let other = DeviceKey::from_seed(&[8; 32]);
    let mine = receipt(ReceiptOutcome::Confirmed);
    assert!(matches!(
        other.sign(mine.clone()),
        Err(FormatError::Malformed { .. })
    ));
    let theirs = other
        .sign(Receipt {
            device: other.id(),
            ..mine.clone()
        })
        .unwrap();
    let text = String::from_utf8(theirs.encode()).unwrap();
    let forged = text.replace(&other.id().to_string(), &mine.device.to_string());
    assert_eq!(
        SignedReceipt::decode(forged.as_bytes()),
        Err(ReceiptError::Signature {
            device: mine.device
        })
    );
}

#[test]
fn what_no_device_writes_is_refused() {
    let bytes = key()
        .sign(receipt(ReceiptOutcome::Failed))
        .unwrap()
        .encode();
    let text = String::from_utf8(bytes).unwrap();
    for (from, to) in [
        ("\"failed\"", "\"fine\""),
        ("\"delta\"", "\"pigeon\""),
        ("\"code\":\"openings\"", "\"code\":\"Openings\""),
        ("\"code\":\"openings\"", "\"code\":\"\""),
        ("opened 3", "opened\\u00003"),
        ("\"schema\":1", "\"schema\":2"),
        ("\"fetched_bytes\":4096", "\"fetched_bytes\":-1"),
        ("\"channel\"", "\"learner\":\"ada\",\"channel\""),
        ("acme/biology-101", "../biology-101"),
        ("\"client\":\"0.1.0\"", "\"client\":\"\""),
    ] {
        let changed = text.replace(from, to);
        assert_ne!(changed, text, "{from}");
        let refused = SignedReceipt::decode(changed.as_bytes());
        assert!(matches!(refused, Err(ReceiptError::Format(_))), "{to}");
    }
    let long = vec![b' '; 5_000];
    assert!(matches!(
        SignedReceipt::decode(&long),
        Err(ReceiptError::Format(FormatError::Limit { .. }))
    ));
}

#[test]
fn a_reason_keeps_to_what_a_receipt_carries() {
    let long = format!("line\n{}", "x".repeat(1_000));
    let reason = Reason::new("host", &long).unwrap();
    assert_eq!(reason.text().chars().count(), Reason::MAX_TEXT_CHARS);
    assert!(reason.text().starts_with("linexx"));
    assert!(Reason::new("Two words", "").is_err());
    let without = Receipt {
        reason: None,
        ..receipt(ReceiptOutcome::Failed)
    };
    assert!(key().sign(without).is_err());
}

/// Only members that OTLP's `logs.proto` has, of the types that its JSON mapping gives them.
#[test]
fn otlp_records_are_of_the_protocol() {
    let all: Vec<SignedReceipt> = ReceiptOutcome::ALL
        .iter()
        .map(|outcome| key().sign(receipt(*outcome)).unwrap())
        .collect();
    let request: Value = serde_json::from_slice(&otlp_logs(&all)).unwrap();
    let resources = members(&request, &["resourceLogs"])["resourceLogs"]
        .as_array()
        .unwrap();
    assert_eq!(resources.len(), 1);
    let resource = members(&resources[0], &["resource", "scopeLogs"]);
    attributes(&members(&resource["resource"], &["attributes"])["attributes"]);
    let scope = members(&resource["scopeLogs"][0], &["scope", "logRecords"]);
    members(&scope["scope"], &["name", "version"]);
    let records = scope["logRecords"].as_array().unwrap();
    assert_eq!(records.len(), all.len());
    for record in records {
        let record = members(
            record,
            &[
                "timeUnixNano",
                "severityNumber",
                "severityText",
                "eventName",
                "body",
                "attributes",
            ],
        );
        assert_eq!(record["timeUnixNano"], "1795248000000000000");
        assert!((1..=24).contains(&record["severityNumber"].as_u64().unwrap()));
        any_value(&record["body"]);
        attributes(&record["attributes"]);
    }
    for name in [
        "satchel.outcome",
        "satchel.reason.code",
        "satchel.trial.confirmed",
    ] {
        assert!(DOCUMENT.contains(name), "{name}");
    }
}

fn members<'a>(value: &'a Value, known: &[&str]) -> &'a serde_json::Map<String, Value> {
    let object = value.as_object().unwrap();
    for key in object.keys() {
        assert!(known.contains(&key.as_str()), "{key}");
    }
    object
}

fn attributes(list: &Value) {
    for attribute in list.as_array().unwrap() {
        let attribute = members(attribute, &["key", "value"]);
        assert!(attribute["key"].is_string());
        any_value(&attribute["value"]);
    }
}

fn any_value(value: &Value) {
    let value = members(value, &["stringValue", "boolValue", "intValue"]);
    assert_eq!(value.len(), 1);
    for (kind, value) in value {
        match kind.as_str() {
            "stringValue" => assert!(value.is_string()),
            "boolValue" => assert!(value.is_boolean()),
            // 64-bit numbers are texts.
            _ => assert!(value.as_str().unwrap().parse::<i64>().is_ok()),
        }
    }
}
