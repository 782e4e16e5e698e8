use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use collector::{Collector, CollectorOptions, DeviceLimits, Devices, SqliteStore, Store};
use diff_core::Digest;
use publisher::{GateEvidence, GateStep, Objectives, Verdict, counted_from, decide};
use release_format::{
    ChannelName, DeviceKey, Label, PackName, Reason, Receipt, ReceiptId, ReceiptOutcome,
    ReceiptRoute, Receipted, SignedReceipt, UtcTime,
};
use updater_client::HttpTransport;

use crate::Outcome;

/// The argument that asks for this measurement.
pub(crate) const COLLECT: &str = "collect";

/// Sends receipts to a collector over loopback from this same machine, kills nothing, counts all; then
/// asks the gate.
pub(crate) fn measure(receipts: Option<&str>) -> Outcome<()> {
    let count: usize = receipts.map_or(Ok(1_000_000), str::parse)?;
    let work = tempfile::tempdir()?;
    let path = work.path().join("receipts.db");
    eprintln!("signing {count} receipts of {DEVICES} devices");
    let bodies = signed(count)?;
    let limits = DeviceLimits {
        receipts_an_hour: u32::MAX,
        newcomers_an_hour: u32::MAX,
    };
    let options = CollectorOptions {
        listen: "127.0.0.1:0".parse()?,
        devices: Devices::open(limits, Instant::now()),
        token: None,
        failing: Box::new(|failed| eprintln!("{failed}")),
    };
    let store = Box::new(SqliteStore::open(&path)?);
    let collector = Collector::start(store, options)?;
    let url = format!("http://{}", collector.address());
    let started = Instant::now();
    let acknowledged = send(&url, &bodies)?;
    let took = started.elapsed();
    collector.stop()?;
    let kept = SqliteStore::open(&path)?.receipts()?;
    let rate = acknowledged as f64 / took.as_secs_f64();
    let bytes = std::fs::metadata(&path)?.len();
    println!("| collector over SQLite, senders on the same machine | |\n|---|---|");
    println!("| cores | {} |", thread::available_parallelism()?);
    println!("| receipts acknowledged | {acknowledged} |");
    println!("| receipts kept | {kept} |");
    println!("| time | {:.1} s |", took.as_secs_f64());
    println!("| receipts a second | {rate:.0} |");
    println!(
        "| database | {:.0} bytes a receipt |",
        bytes as f64 / kept as f64
    );
    gate(&path)?;
    if kept != acknowledged as u64 || acknowledged != count {
        return Err(format!("sent {count}, acknowledged {acknowledged}, kept {kept}").into());
    }
    Ok(())
}

/// Returns requests of signed receipts, each of many devices as a district's mirror brings them.
fn signed(count: usize) -> Outcome<Vec<Vec<u8>>> {
    let keys: Vec<DeviceKey> = (0..DEVICES)
        .map(|number| DeviceKey::from_seed(Digest::of(&number.to_le_bytes()).as_bytes()))
        .collect();
    let pack = PackName::parse("acme/biology-101")?;
    let label = Label::parse("1.4.0")?;
    let now = now()?;
    let threads = thread::available_parallelism()?.get();
    let numbers: Vec<usize> = (0..count).collect();
    let parts = numbers.chunks(count.div_ceil(threads).max(1));
    let bodies = thread::scope(|scope| {
        let signing: Vec<_> = parts
            .map(|part| {
                let (keys, pack, label) = (&keys, &pack, &label);
                scope.spawn(move || {
                    let batches = part.chunks(BATCH);
                    batches
                        .map(|batch| body(batch, keys, (pack, label), now))
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        let joined = signing.into_iter().map(thread::ScopedJoinHandle::join);
        joined.flatten().flatten().collect()
    });
    Ok(bodies)
}

fn body(
    numbers: &[usize],
    keys: &[DeviceKey],
    (pack, label): (&PackName, &Label),
    now: UtcTime,
) -> Vec<u8> {
    let mut body = Vec::new();
    for number in numbers {
        let key = &keys[number % keys.len()];
        let digest = Digest::of(&number.to_be_bytes());
        let mut id = [0; ReceiptId::LENGTH];
        id.copy_from_slice(&digest.as_bytes()[..ReceiptId::LENGTH]);
        let is_failed = number % 200 == 0;
        let receipt = Receipt {
            id: ReceiptId::from_bytes(id),
            device: key.id(),
            pack: pack.clone(),
            release: Digest::of(b"a manifest"),
            label: label.clone(),
            channel: ChannelName::default(),
            outcome: match is_failed {
                true => ReceiptOutcome::Failed,
                false => ReceiptOutcome::Confirmed,
            },
            reason: Reason::new("host", "the quiz does not open")
                .ok()
                .filter(|_| is_failed),
            route: ReceiptRoute::Delta,
            fetched_bytes: 20_000,
            update_seconds: 9,
            // Spread over two days, as a fleet's are.
            trial_seconds: (number % 172_800) as u64,
            time: UtcTime::from_seconds(now.seconds() - (number % 172_800) as i64),
            clock_believed: true,
            client: "0.1.0".to_owned(),
        };
        let signed: Option<SignedReceipt> = key.sign(receipt).ok();
        body.extend(signed.map(|signed| signed.encode()).unwrap_or_default());
        body.push(b'\n');
    }
    body
}

/// Sends all bodies over a few lines at once; returns how many receipts were acknowledged.
fn send(url: &str, bodies: &[Vec<u8>]) -> Outcome<usize> {
    let (next, acknowledged) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        let lines: Vec<_> = (0..LINES)
            .map(|_| {
                scope.spawn(|| -> Result<(), String> {
                    let transport = HttpTransport::new(url).map_err(|e| e.to_string())?;
                    while let Some(body) = bodies.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let answer = transport
                            .post(
                                Receipted::LOCATION,
                                "application/x-ndjson",
                                None,
                                body.clone(),
                            )
                            .map_err(|e| e.to_string())?;
                        let mut bytes = Vec::new();
                        let mut reader = answer.reader;
                        reader.read_to_end(&mut bytes).map_err(|e| e.to_string())?;
                        let answer = Receipted::decode(&bytes).ok_or("no answer")?;
                        acknowledged.fetch_add(answer.accepted.len(), Ordering::Relaxed);
                    }
                    Ok(())
                })
            })
            .collect();
        for line in lines {
            line.join().map_err(|_| "a line panicked".to_owned())??;
        }
        Ok::<(), String>(())
    })?;
    Ok(acknowledged.into_inner())
}

fn gate(path: &Path) -> Outcome<()> {
    let objectives = Objectives::default();
    let now = now()?;
    let step = GateStep {
        since: Some(UtcTime::from_seconds(now.seconds() - 172_800)),
        wait: Duration::from_secs(86_400),
        halted: false,
        has_next: true,
    };
    let started = Instant::now();
    let mut store = SqliteStore::open_to_read(path)?;
    let pack = PackName::parse("acme/biology-101")?;
    let since = counted_from(&step, &objectives, now);
    let tally = store.tally(Some(&pack), since)?;
    let counts = tally.of_release(&ChannelName::default(), &Label::parse("1.4.0")?, 72);
    let ended = counts.ended();
    let evidence = GateEvidence::Counted {
        source: "receipts.db".to_owned(),
        counts,
    };
    let decision = decide(&step, &objectives, &[evidence], now);
    println!(
        "| gate over {ended} trials | {:.0} ms, {} |",
        started.elapsed().as_secs_f64() * 1_000.0,
        decision.verdict
    );
    match decision.verdict {
        Verdict::Advance => Ok(()),
        other => Err(format!("a good release is to advance, and the gate says {other}").into()),
    }
}

fn now() -> Outcome<UtcTime> {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    Ok(UtcTime::from_seconds(i64::try_from(since.as_secs())?))
}

const DEVICES: u32 = 20_000;
const BATCH: usize = 500;
const LINES: usize = 8;
