//! `satchel collect` under load, killed and started again: what it acknowledged is there, once.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use diff_core::Digest;
use release_format::{
    ChannelName, DeviceKey, Label, PackName, Receipt, ReceiptId, ReceiptOutcome, ReceiptRoute,
    Receipted, SignedReceipt, UtcTime,
};
use satchel_tests::rig::world::World;
use serde_json::Value;
use updater_client::{HttpTransport, Transport};

use crate::place::{Place, Running, satchel};

fn collect(database: &Path, listen: &str, flags: &[&str]) -> Running {
    let mut command = satchel(&["collect", "--database", database.to_str().unwrap()]);
    Running::start(command.args(["--listen", listen]).args(flags))
}

fn get(running: &Running, location: &str) -> String {
    let transport = HttpTransport::new(&running.url).unwrap();
    let mut text = String::new();
    let mut reader = transport.open(location, 0).unwrap().reader;
    reader.read_to_string(&mut text).unwrap();
    text
}

fn receipt(number: u32) -> SignedReceipt {
    let key = DeviceKey::from_seed(Digest::of(&(number % 97).to_le_bytes()).as_bytes());
    let mut id = [0; ReceiptId::LENGTH];
    id[..4].copy_from_slice(&number.to_be_bytes());
    key.sign(Receipt {
        id: ReceiptId::from_bytes(id),
        device: key.id(),
        pack: PackName::parse("acme/biology-101").unwrap(),
        release: Digest::of(b"a manifest"),
        label: Label::parse("1.4.0").unwrap(),
        channel: ChannelName::default(),
        outcome: ReceiptOutcome::Confirmed,
        reason: None,
        route: ReceiptRoute::Delta,
        fetched_bytes: 1,
        update_seconds: 1,
        trial_seconds: 1,
        time: UtcTime::from_seconds(1_795_300_000),
        clock_believed: true,
        client: "0.1.0".to_owned(),
    })
    .unwrap()
}

fn bodies(count: u32) -> Vec<Vec<u8>> {
    let numbers: Vec<u32> = (0..count).collect();
    let batches = numbers.chunks(20);
    batches
        .map(|batch| {
            let lines = batch.iter().map(|number| receipt(*number).encode());
            lines.collect::<Vec<_>>().join(&b'\n')
        })
        .collect()
}

fn post(url: &str, token: Option<&str>, body: &[u8]) -> Option<Receipted> {
    let transport = HttpTransport::new(url).unwrap();
    let answer = transport.post(
        Receipted::LOCATION,
        "application/x-ndjson",
        token,
        body.to_vec(),
    );
    let mut bytes = Vec::new();
    answer.ok()?.reader.read_to_end(&mut bytes).ok()?;
    Receipted::decode(&bytes)
}

#[test]
fn what_was_acknowledged_is_there_once_though_the_service_is_killed_three_times() {
    let temporary = Place::new();
    let database = temporary.path("receipts.db");
    let first = collect(&database, "127.0.0.1:0", &[]);
    let url = first.url.clone();
    let address = url.trim_start_matches("http://").to_owned();
    let bodies = bodies(6_000);
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let acknowledged = Mutex::new(BTreeSet::new());
    let is_over = AtomicBool::new(false);
    let all = bodies.len();
    let last = thread::scope(|scope| {
        let sending: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    while let Some(body) = bodies.get(next.fetch_add(1, Ordering::SeqCst)) {
                        // As a device does: again and again until somebody says that it arrived.
                        let answer = loop {
                            if let Some(answer) = post(&url, None, body) {
                                break answer;
                            }
                            assert!(!is_over.load(Ordering::SeqCst), "nobody answers");
                            thread::yield_now();
                        };
                        assert_eq!(answer.refused, []);
                        acknowledged.lock().unwrap().extend(answer.accepted);
                        done.fetch_add(1, Ordering::SeqCst);
                    }
                })
            })
            .collect();
        let mut running = first;
        for quarter in 1..4 {
            while done.load(Ordering::SeqCst) < all * quarter / 4 {
                thread::yield_now();
            }
            drop(running);
            running = collect(&database, &address, &[]);
        }
        for one in sending {
            one.join().unwrap();
        }
        is_over.store(true, Ordering::SeqCst);
        running
    });
    assert_eq!(acknowledged.lock().unwrap().len(), 6_000);
    // All of it once more: known, and not counted again.
    for body in &bodies {
        assert_eq!(post(&last.url, None, body).unwrap().accepted.len(), 20);
    }
    let metrics = get(&last, "metrics");
    let counted = "satchel_receipts_total{pack=\"acme/biology-101\",channel=\"stable\",release=\"1.4.0\",outcome=\"confirmed\"} 6000";
    assert!(metrics.lines().any(|line| line == counted), "{metrics}");
    assert!(get(&last, "health").contains("\"ok\""));
    last.terminate();
    let mut store = collector::SqliteStore::open(&database).unwrap();
    use collector::Store as _;
    assert_eq!(store.receipts().unwrap(), 6_000);
    assert_eq!(store.tally(None, None).unwrap().total(), 6_000);
}

#[test]
fn only_who_shows_the_token_and_is_listed_is_counted() {
    let temporary = Place::new();
    let (token, devices) = (temporary.path("token"), temporary.path("devices"));
    std::fs::write(&token, "open sesame\n").unwrap();
    std::fs::write(&devices, format!("{}\n", receipt(1).receipt().device)).unwrap();
    let running = collect(
        &temporary.path("receipts.db"),
        "127.0.0.1:0",
        &[
            "--token-file",
            token.to_str().unwrap(),
            "--devices",
            devices.to_str().unwrap(),
        ],
    );
    let body = [receipt(1).encode(), receipt(2).encode(), b"{}".to_vec()].join(&b'\n');
    assert_eq!(post(&running.url, None, &body), None);
    assert_eq!(post(&running.url, Some("open barley"), &body), None);
    let answer = post(&running.url, Some("open sesame"), &body).unwrap();
    assert_eq!(answer.accepted, [receipt(1).name()]);
    let reasons: Vec<_> = answer.refused.iter().map(|one| one.reason).collect();
    assert_eq!(
        reasons,
        [
            release_format::Refusal::Malformed,
            release_format::Refusal::Device
        ]
    );
    let long = vec![b'x'; Receipted::MAX_REQUEST_BYTES + 1];
    assert_eq!(post(&running.url, Some("open sesame"), &long), None);
    let metrics = get(&running, "metrics");
    assert!(metrics.contains("satchel_collector_refused_total{reason=\"device\"} 1"));
    assert!(metrics.contains("satchel_collector_answers_total{status=\"401\"} 2"));
    running.terminate();
}

#[test]
fn a_device_tells_the_collector_and_its_outbox_is_empty() {
    let (world, device) = World::with_an_update();
    let running = collect(&world.folder().join("receipts.db"), "127.0.0.1:0", &[]);
    device.update().unwrap();
    device
        .updater()
        .fail(device.pack(), "the quiz does not open")
        .unwrap();
    let library = device.library().to_str().unwrap();
    let run = |arguments: &[&str]| {
        let output = satchel(arguments).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{told}");
        let text = String::from_utf8(output.stdout).unwrap();
        serde_json::from_str::<Value>(&text).unwrap()
    };
    let listed = run(&["receipts", "list", library, "--json"]);
    // Both ended within a second, which has no order.
    let outcomes: BTreeSet<&str> = listed["receipts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["outcome"].as_str().unwrap())
        .collect();
    assert_eq!(outcomes, BTreeSet::from(["confirmed", "failed"]));
    let otlp = run(&["receipts", "list", library, "--otlp"]);
    assert!(otlp["resourceLogs"].is_array());
    let sent = run(&["receipts", "send", library, "--to", &running.url, "--json"]);
    assert_eq!(
        (&sent["sent"], &sent["accepted"], &sent["waiting"]),
        (&2.into(), &2.into(), &0.into())
    );
    let listed = run(&["receipts", "list", library, "--json"]);
    assert_eq!(listed["receipts"].as_array().unwrap().len(), 0);
    let metrics = get(&running, "metrics");
    assert!(metrics.contains("outcome=\"failed\"} 1"), "{metrics}");
    running.terminate();
}

#[test]
fn an_update_takes_the_receipts_along_and_does_not_fail_where_nobody_takes_them() {
    let (world, device) = World::with_an_update();
    let library = device.library().to_str().unwrap();
    let repository = world.repository();
    let repository = repository.to_str().unwrap();
    let update = |to: &str| {
        let output = satchel(&["update", library, "--from", repository, "--receipts-to", to])
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{told}");
        told
    };
    // Taken and let go of again: nobody listens there.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let told = update(&nobody);
    assert!(told.contains("wait on"), "{told}");
    let told = update(world.folder().join("no stick").to_str().unwrap());
    assert!(told.contains("receipts wait"), "{told}");
    let waiting = device.updater().receipts().unwrap().len();
    assert!(waiting > 0);
    let running = collect(&world.folder().join("receipts.db"), "127.0.0.1:0", &[]);
    let told = update(&running.url);
    assert!(told.contains("arrived at"), "{told}");
    assert_eq!(device.updater().receipts().unwrap().len(), 0);
    // Nothing waits: nobody is asked.
    assert!(!update(&nobody).contains("wait"), "nothing waits");
    running.terminate();
}
