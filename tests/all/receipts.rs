//! How trials ended, told once: whatever a power cut takes, whichever way a receipt leaves, and whoever
//! hears of it twice.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use collector::{SqliteStore, Store};
use diff_core::CancelToken;
use release_format::{Receipt, ReceiptOutcome, ReceiptRoute, Receipted, SignedReceipt, UtcTime};
use satchel_tests::rig::disk::{Fault, FaultyDisk};
use satchel_tests::rig::world::{Device, World, remove};
use updater_client::courier::{Courier, FolderCourier};
use updater_client::{Event, MirrorBuilder, Observer, UpdateError, UpdateOptions, Updater};

/// Takes what it is brought, and acknowledges it as long as it is told to.
#[derive(Default)]
struct Office {
    taken: Mutex<Vec<SignedReceipt>>,
    is_silent: bool,
}

impl Office {
    fn outcomes(&self) -> Vec<ReceiptOutcome> {
        let taken = self.taken.lock().unwrap();
        taken.iter().map(|one| one.receipt().outcome).collect()
    }
}

impl Courier for Office {
    fn carry(&self, receipts: &[SignedReceipt]) -> Result<Receipted, UpdateError> {
        self.taken.lock().unwrap().extend_from_slice(receipts);
        let mut answer = Receipted::new();
        if !self.is_silent {
            answer.accepted = receipts.iter().map(SignedReceipt::name).collect();
        }
        Ok(answer)
    }

    fn address(&self) -> String {
        "the office".to_owned()
    }
}

fn report(device: &Device, courier: &dyn Courier) -> updater_client::Reported {
    let cancel = CancelToken::new();
    device.updater().report(courier, &cancel).unwrap()
}

fn on(device: &Device, disk: Arc<FaultyDisk>) -> Result<Updater, UpdateError> {
    device.builder().disk(disk).build()
}

fn outcomes(device: &Device) -> Vec<ReceiptOutcome> {
    let receipts = device.updater().receipts().unwrap();
    receipts.iter().map(|one| one.receipt().outcome).collect()
}

/// Returns a device on which 1.1 is on trial, and of which nothing waits to be told.
fn on_trial() -> (World, Device) {
    let (world, device) = World::with_an_update();
    device.update().unwrap();
    report(&device, &Office::default());
    assert_eq!(device.updater().receipts().unwrap(), []);
    (world, device)
}

/// Cuts the power at each call of `end` in turn; whichever it was, the trial is ended once and told once.
fn is_told_once(
    outcome: ReceiptOutcome,
    end: impl Fn(&Updater, &Device) -> Result<(), UpdateError>,
) {
    let (world, device) = on_trial();
    let counting = Arc::new(FaultyDisk::new(Fault::Nothing));
    let counted = device.copied_to(world.folder().join("counted"));
    end(&on(&counted, counting.clone()).unwrap(), &counted).unwrap();
    assert_eq!(outcomes(&counted), [outcome]);
    for at in 0..counting.calls() {
        let device = device.copied_to(world.folder().join(format!("told-{at}")));
        let disk = Arc::new(FaultyDisk::new(Fault::PowerCut { at, torn: true }));
        let cut = on(&device, disk).and_then(|updater| end(&updater, &device));
        let pack = device.pack();
        let is_on_trial = || {
            let status = device.updater().status(pack).unwrap();
            status.record.trial().is_some()
        };
        if is_on_trial() {
            assert!(cut.is_err(), "call {at}: a success was lost");
            end(&device.updater(), &device).unwrap();
        }
        assert!(!is_on_trial());
        let office = Office::default();
        let reported = report(&device, &office);
        assert_eq!((reported.accepted, reported.waiting), (1, 0), "call {at}");
        assert_eq!(office.outcomes(), [outcome], "call {at}");
        // What was told is not told again.
        report(&device, &office);
        assert_eq!(office.outcomes().len(), 1, "call {at}");
        remove(device.library());
    }
}

#[test]
fn a_confirmation_is_told_once_whatever_a_power_cut_takes() {
    is_told_once(ReceiptOutcome::Confirmed, |updater, device| {
        updater.confirm(device.pack())
    });
}

#[test]
fn a_failure_is_told_once_whatever_a_power_cut_takes() {
    is_told_once(ReceiptOutcome::Failed, |updater, device| {
        let failed = updater.fail(device.pack(), "the video does not play");
        failed.map(drop)
    });
}

#[test]
fn one_opening_too_many_is_told_once_whatever_a_power_cut_takes() {
    is_told_once(ReceiptOutcome::Reverted, |updater, device| {
        for _ in 0..4 {
            updater.open_pack(device.pack())?;
        }
        Ok(())
    });
}

#[test]
fn reporting_loses_nothing_whatever_a_power_cut_takes() {
    let (world, device) = on_trial();
    device.confirm();
    let counting = Arc::new(FaultyDisk::new(Fault::Nothing));
    let counted = device.copied_to(world.folder().join("counted"));
    let cancel = CancelToken::new();
    let all = on(&counted, counting.clone()).unwrap();
    all.report(&Office::default(), &cancel).unwrap();
    for at in 0..counting.calls() {
        let device = device.copied_to(world.folder().join(format!("sent-{at}")));
        let office = Office::default();
        let disk = Arc::new(FaultyDisk::new(Fault::PowerCut { at, torn: true }));
        let _ = on(&device, disk).and_then(|updater| updater.report(&office, &cancel));
        report(&device, &office);
        assert_eq!(device.updater().receipts().unwrap(), [], "call {at}");
        let taken = office.taken.lock().unwrap();
        let names: BTreeSet<String> = taken.iter().map(SignedReceipt::name).collect();
        assert_eq!(names.len(), 1, "call {at}");
        remove(device.library());
    }
}

#[test]
fn a_receipt_says_what_happened_and_not_to_whom() {
    let (_world, device) = on_trial();
    device
        .updater()
        .fail(device.pack(), "the video does not play")
        .unwrap();
    let receipts = device.updater().receipts().unwrap();
    let [signed] = receipts.as_slice() else {
        panic!("{receipts:?}");
    };
    let Receipt {
        pack,
        label,
        outcome,
        reason,
        route,
        fetched_bytes,
        clock_believed,
        ..
    } = signed.receipt();
    assert_eq!((pack, label.as_str()), (device.pack(), "1.1"));
    assert_eq!(*outcome, ReceiptOutcome::Failed);
    let reason = reason.as_ref().unwrap();
    assert_eq!(
        (reason.code(), reason.text()),
        ("host", "the video does not play")
    );
    assert_eq!(*route, ReceiptRoute::Delta);
    assert!(*fetched_bytes > 0 && *clock_believed);
    // The id by which the device is dealt into rollouts stays at home, and so do all its paths.
    let told = String::from_utf8(signed.encode()).unwrap();
    let library = std::fs::read_to_string(device.layout().library_record()).unwrap();
    let library: serde_json::Value = serde_json::from_str(&library).unwrap();
    assert!(!told.contains(library["device"].as_str().unwrap()));
    assert!(!told.contains(device.library().to_str().unwrap()));
}

#[test]
fn a_dead_clock_is_told_and_no_time_is_made_up() {
    let (world, device) = on_trial();
    world.clock().set(UtcTime::from_seconds(0));
    device.confirm();
    let receipts = device.updater().receipts().unwrap();
    let receipt = receipts[0].receipt();
    assert!(!receipt.clock_believed);
    assert!(receipt.time > UtcTime::parse("2026-01-01T00:00:00Z").unwrap());
    assert_eq!(receipt.trial_seconds, 0);
}

#[test]
fn what_is_taken_back_and_what_is_passed_over_is_told_too() {
    let (world, device) = World::with_an_update();
    report(&device, &Office::default());
    device.update().unwrap();
    world.publish("1.2", &satchel_tests::rig::world::third_course());
    device.update().unwrap();
    assert_eq!(outcomes(&device), [ReceiptOutcome::Superseded]);
    device.confirm();
    device
        .updater()
        .revert(device.pack(), "the teacher asks for it")
        .unwrap();
    let mut told = outcomes(&device);
    told.sort();
    assert_eq!(
        told,
        [
            ReceiptOutcome::Confirmed,
            ReceiptOutcome::Undone,
            ReceiptOutcome::Superseded
        ]
    );
}

#[test]
fn a_stick_carries_receipts_and_brings_the_acknowledgement_back() {
    let (world, device) = on_trial();
    device.confirm();
    let stick = world.folder().join("stick");
    std::fs::create_dir_all(&stick).unwrap();
    let courier = FolderCourier::new(&stick);
    for _ in 0..2 {
        let reported = report(&device, &courier);
        assert_eq!(
            (reported.sent, reported.accepted, reported.waiting),
            (1, 0, 1)
        );
    }
    let mut store = SqliteStore::open(&world.folder().join("receipts.db")).unwrap();
    let now = UtcTime::from_seconds(1_900_000_000);
    let imported = collector::import(&mut store, &stick, now).unwrap();
    assert_eq!((imported.new, imported.known), (1, 0));
    // The stick was lost, and another one comes with the same receipt.
    std::fs::create_dir_all(world.folder().join("other")).unwrap();
    let other = FolderCourier::new(world.folder().join("other"));
    report(&device, &other);
    let imported = collector::import(&mut store, &world.folder().join("other"), now).unwrap();
    assert_eq!((imported.new, imported.known), (0, 1));
    assert_eq!(store.receipts().unwrap(), 1);
    let reported = report(&device, &courier);
    assert_eq!((reported.accepted, reported.waiting), (1, 0));
    let left = std::fs::read_dir(stick.join("receipts")).unwrap().count();
    assert_eq!(left, 1, "the list alone");
}

#[test]
fn a_neighbour_hands_receipts_on_and_they_count_once() {
    let (world, device) = on_trial();
    device.confirm();
    let laptop = world.device_at(world.folder().join("laptop"));
    let mirror = MirrorBuilder::new(laptop.library())
        .without_upstream()
        .build()
        .unwrap();
    let waiting = device.updater().receipts().unwrap();
    let mut body = waiting[0].encode();
    body.extend_from_slice(b"\nno receipt\n");
    let answer = mirror.take_receipts(&body).unwrap();
    assert_eq!(answer.accepted, [waiting[0].name()]);
    assert_eq!(answer.refused.len(), 1);
    assert_eq!(mirror.take_receipts(&body).unwrap().accepted.len(), 1);
    let office = Office::default();
    assert_eq!(report(&laptop, &office).accepted, 1);
    report(&device, &office);
    let taken = office.taken.lock().unwrap().clone();
    assert_eq!(taken.len(), 2);
    let mut store = SqliteStore::open(&world.folder().join("receipts.db")).unwrap();
    let stored = store
        .write(&taken, UtcTime::from_seconds(1_900_000_000))
        .unwrap();
    assert_eq!((stored.new.total(), stored.known), (1, 1));
}

#[test]
fn whoever_does_not_acknowledge_is_told_again() {
    let (_world, device) = on_trial();
    device.confirm();
    let silent = Office {
        is_silent: true,
        ..Office::default()
    };
    for round in 1..=3 {
        let reported = report(&device, &silent);
        assert_eq!((reported.sent, reported.waiting), (1, 1));
        assert_eq!(silent.taken.lock().unwrap().len(), round);
    }
}

/// Hears whether receipts could not be handed over.
#[derive(Default)]
struct Told(Mutex<Vec<String>>);

impl Observer for Told {
    fn event(&self, event: &Event) {
        if let Event::NotReported { reason, .. } = event {
            self.0.lock().unwrap().push(reason.clone());
        }
    }
}

#[test]
fn an_update_that_is_cancelled_is_no_report_that_failed() {
    let (_world, device) = on_trial();
    device.confirm();
    let (office, told) = (Arc::new(Office::default()), Arc::new(Told::default()));
    let builder = device
        .builder()
        .receipts_to(office.clone())
        .observer(told.clone());
    let updater = builder.build().unwrap();
    let update =
        |cancel: &CancelToken| updater.update(device.pack(), &UpdateOptions::default(), cancel);
    let cancelled = CancelToken::new();
    cancelled.cancel();
    let ended = update(&cancelled);
    assert!(matches!(ended, Err(UpdateError::Cancelled)), "{ended:?}");
    assert_eq!(*told.0.lock().unwrap(), [""; 0]);
    assert!(office.outcomes().is_empty());
    // Nobody is let be for that.
    update(&CancelToken::new()).unwrap();
    assert_eq!(office.outcomes(), [ReceiptOutcome::Confirmed]);
}

#[test]
fn a_release_that_is_not_what_was_signed_is_told_once() {
    let (world, device) = World::with_an_update();
    report(&device, &Office::default());
    let damaged = world.copy_of_repository();
    for path in satchel_tests::rig::world::files_below(&damaged.join("content")) {
        let path = damaged.join("content").join(path);
        let mut bytes = std::fs::read(&path).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        std::fs::write(&path, bytes).unwrap();
    }
    for _ in 0..3 {
        device.update_from(&damaged).unwrap_err();
        assert_eq!(outcomes(&device), [ReceiptOutcome::VerificationFailed]);
    }
}
