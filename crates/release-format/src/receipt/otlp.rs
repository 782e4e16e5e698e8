use serde_json::{Value, json};

use super::Receipt;
use super::outcome::ReceiptOutcome;
use super::signed::SignedReceipt;

/// Returns receipts as a request of OTLP/JSON, `ExportLogsServiceRequest`: one log record each.
///
/// Which member becomes which attribute is told with the [`Receipt`]. The device is the resource's
/// instance, so receipts of one device stand together where they follow one another.
pub fn otlp_logs(receipts: &[SignedReceipt]) -> Vec<u8> {
    let of_one_device = receipts.chunk_by(|a, b| {
        let (a, b) = (a.receipt(), b.receipt());
        (a.device, &a.client) == (b.device, &b.client)
    });
    let resources: Vec<Value> = of_one_device.filter_map(resource).collect();
    let request = json!({ "resourceLogs": resources });
    serde_json::to_vec(&request).expect("writing to memory succeeds")
}

fn resource(receipts: &[SignedReceipt]) -> Option<Value> {
    let first = receipts.first()?.receipt();
    let records: Vec<Value> = receipts.iter().map(|one| record(one.receipt())).collect();
    Some(json!({
        "resource": { "attributes": [
            text("service.name", "satchel-device"),
            text("service.version", &first.client),
            text("service.instance.id", &first.device.to_string()),
        ] },
        "scopeLogs": [{
            "scope": { "name": "satchel.receipt", "version": "1" },
            "logRecords": records,
        }],
    }))
}

fn record(receipt: &Receipt) -> Value {
    let (number, severity) = severity(receipt.outcome);
    let nanoseconds = u128::from(receipt.time.seconds().unsigned_abs()) * 1_000_000_000;
    // The protocol has no time before 1970 and none after 2554; receipts of such a clock have none.
    let is_told = receipt.time.seconds() >= 0 && nanoseconds <= u128::from(u64::MAX);
    let nanoseconds = if is_told { nanoseconds } else { 0 };
    let mut attributes = vec![
        text("satchel.receipt.id", &receipt.id.to_string()),
        text("satchel.pack", receipt.pack.as_str()),
        text("satchel.release.label", receipt.label.as_str()),
        text("satchel.release.manifest", &receipt.release.to_string()),
        text("satchel.channel", receipt.channel.as_str()),
        text("satchel.outcome", receipt.outcome.name()),
        text("satchel.route", receipt.route.name()),
        whole("satchel.fetched_bytes", receipt.fetched_bytes),
        whole("satchel.update_seconds", receipt.update_seconds),
        whole("satchel.trial_seconds", receipt.trial_seconds),
        json!({
            "key": "satchel.clock_believed",
            "value": { "boolValue": receipt.clock_believed },
        }),
    ];
    if let Some(reason) = &receipt.reason {
        attributes.push(text("satchel.reason.code", reason.code()));
        attributes.push(text("satchel.reason.text", reason.text()));
    }
    json!({
        "timeUnixNano": nanoseconds.to_string(),
        "severityNumber": number,
        "severityText": severity,
        "eventName": format!("satchel.trial.{}", receipt.outcome.name()),
        "body": { "stringValue": format!("{}: {}", receipt.content_version(), receipt.outcome.name()) },
        "attributes": attributes,
    })
}

/// Returns the severity of the OpenTelemetry log data model: a number and its text.
fn severity(outcome: ReceiptOutcome) -> (u8, &'static str) {
    match outcome {
        ReceiptOutcome::Confirmed | ReceiptOutcome::Superseded | ReceiptOutcome::ShadowOk => {
            (9, "INFO")
        }
        ReceiptOutcome::Failed
        | ReceiptOutcome::Reverted
        | ReceiptOutcome::Undone
        | ReceiptOutcome::ShadowFailed => (13, "WARN"),
        ReceiptOutcome::VerificationFailed => (17, "ERROR"),
    }
}

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

/// Whole numbers are texts in the protocol's JSON.
fn whole(key: &str, value: u64) -> Value {
    json!({ "key": key, "value": { "intValue": value.to_string() } })
}
