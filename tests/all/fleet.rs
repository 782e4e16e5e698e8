//! Ten thousand devices are offered a release that fails on 2 % of them: the gate halts it at its first
//! step, and the withdrawal brings every device back.

use std::fmt::Write as _;
use std::time::Duration;

use collector::{SqliteStore, Store};
use diff_core::Digest;
use publisher::{GateEvidence, GateStep, Objectives, Verdict, counted_from, decide};
use release_format::{
    Asker, ChannelName, ClientVersion, Decision, DeviceId, DeviceKey, DeviceLabels, Label,
    PackName, Reason, Receipt, ReceiptId, ReceiptOutcome, ReceiptRoute, Rollout, Share,
    SignedReceipt, UtcTime, Withdrawal,
};
use updater_client::library::state::{InstalledRelease, StateRecord};

const DEVICES: u64 = 10_000;
const STEPS: [&str; 4] = ["10%", "30%", "60%", "100%"];

struct Device {
    id: DeviceId,
    key: DeviceKey,
    record: StateRecord,
    /// The hour of the day in which it has a network.
    hour: i64,
    /// Whether the release does not open on it.
    is_unlucky: bool,
}

/// What was true at the end of an hour.
struct Hour {
    on_new: usize,
    went_back: u64,
    verdict: Verdict,
    share: Share,
}

struct Fleet {
    devices: Vec<Device>,
    store: SqliteStore,
    rollout: Rollout,
    began: UtcTime,
    went_back: u64,
}

fn pack() -> PackName {
    PackName::parse("acme/biology-101").unwrap()
}

fn release(label: &str, sequence: u64) -> InstalledRelease {
    InstalledRelease {
        label: Label::parse(label).unwrap(),
        sequence,
        manifest: Digest::of(label.as_bytes()),
        tree_bytes: 1_000_000,
    }
}

fn share(text: &str) -> Share {
    Share::parse(text).unwrap()
}

fn objectives() -> Objectives {
    let mut objectives = Objectives::default();
    objectives.reverts = share("0.5%");
    objectives
}

impl Device {
    fn new(number: u64, fails_on: u64) -> Device {
        let random = *Digest::of(&number.to_le_bytes()).as_bytes();
        let (id, rest) = random.split_first_chunk::<16>().unwrap();
        let luck = u64::from(u16::from_le_bytes([rest[0], rest[1]]));
        let first = StateRecord::empty(pack());
        let first = first.activate(release("1.3.0", 3), 3).unwrap();
        Device {
            id: DeviceId::from_bytes(*id),
            key: DeviceKey::from_seed(&random),
            record: first.confirm().unwrap(),
            hour: i64::from(rest[2] % 24),
            is_unlucky: luck * 10_000 / 65_536 < fails_on,
        }
    }

    fn has(&self, label: &str) -> bool {
        let active = self.record.active();
        active.is_some_and(|active| active.label.as_str() == label)
    }

    /// Asks what it is offered, tries it, and says how that ended.
    fn ask(&mut self, rollout: &Rollout, now: UtcTime) -> Option<SignedReceipt> {
        let labels = DeviceLabels::default();
        let asker = Asker {
            device: self.id,
            labels: &labels,
            client: ClientVersion::parse("0.1.0").unwrap(),
            now,
        };
        let active = self.record.active().unwrap().manifest;
        if rollout.withdrawal(&active).is_some() {
            self.record = self.record.revert("withdrawn").unwrap();
            return None;
        }
        match rollout.decide(&asker) {
            Decision::Offered => {
                if self.has("1.4.0") || self.record.refusal_of(&rollout.release).is_some() {
                    return None;
                }
                let trial = self.record.activate(release("1.4.0", 4), 3).unwrap();
                self.record = match self.is_unlucky {
                    true => trial.fail("the quiz does not open").unwrap(),
                    false => trial.confirm().unwrap(),
                };
                Some(self.receipt(now))
            }
            _ => None,
        }
    }

    fn receipt(&self, now: UtcTime) -> SignedReceipt {
        let reason = Reason::new("host", "the quiz does not open").unwrap();
        let receipt = Receipt {
            id: ReceiptId::from_bytes(*self.id.as_bytes()),
            device: self.key.id(),
            pack: pack(),
            release: release("1.4.0", 4).manifest,
            label: Label::parse("1.4.0").unwrap(),
            channel: ChannelName::default(),
            outcome: match self.is_unlucky {
                true => ReceiptOutcome::Failed,
                false => ReceiptOutcome::Confirmed,
            },
            reason: self.is_unlucky.then_some(reason),
            route: ReceiptRoute::Delta,
            fetched_bytes: 20_000,
            update_seconds: 9,
            trial_seconds: 600,
            time: now,
            clock_believed: true,
            client: "0.1.0".to_owned(),
        };
        self.key.sign(receipt).unwrap()
    }
}

impl Fleet {
    fn new(store: SqliteStore, fails_on: u64) -> Fleet {
        let offered = release("1.4.0", 4);
        let began = UtcTime::parse("2026-12-01T06:00:00Z").unwrap();
        Fleet {
            devices: (0..DEVICES)
                .map(|number| Device::new(number, fails_on))
                .collect(),
            store,
            rollout: Rollout {
                share: share(STEPS[0]),
                since: Some(began),
                ..Rollout::new(
                    pack(),
                    ChannelName::default(),
                    offered.manifest,
                    offered.label,
                )
            },
            began,
            went_back: 0,
        }
    }

    /// Lets the devices whose hour it is ask, collects what they tell, and asks the gate.
    fn hour(&mut self, hour: i64) -> Hour {
        let now = UtcTime::from_seconds(self.began.seconds() + hour * 3_600 + 1_800);
        let rollout = &self.rollout;
        let asking = self
            .devices
            .iter_mut()
            .filter(|device| device.hour == hour % 24);
        let told: Vec<_> = asking
            .filter_map(|device| device.ask(rollout, now))
            .collect();
        let failed = told
            .iter()
            .filter(|one| one.receipt().outcome == ReceiptOutcome::Failed);
        self.went_back += failed.count() as u64;
        // Half of them are sent twice: a neighbour had them, too.
        let again = told.iter().step_by(2).cloned();
        let sent: Vec<_> = told.iter().cloned().chain(again).collect();
        let stored = self.store.write(&sent, now).unwrap();
        assert_eq!(stored.new.total(), told.len() as u64);
        let verdict = self.gate(now);
        Hour {
            on_new: self
                .devices
                .iter()
                .filter(|device| device.has("1.4.0"))
                .count(),
            went_back: self.went_back,
            verdict,
            share: self.rollout.share,
        }
    }

    fn gate(&mut self, now: UtcTime) -> Verdict {
        let step = GateStep {
            since: self.rollout.since,
            wait: Duration::from_secs(20 * 3_600),
            halted: self.rollout.halted,
            has_next: self.rollout.share != Share::FULL,
        };
        let objectives = objectives();
        let since = counted_from(&step, &objectives, now);
        let tally = self.store.tally(Some(&pack()), since).unwrap();
        let hours = objectives.window.as_secs() / 3_600;
        let evidence = GateEvidence::Counted {
            source: "receipts.db".to_owned(),
            counts: tally.of_release(&self.rollout.channel, &self.rollout.label, hours),
        };
        decide(&step, &objectives, &[evidence], now).verdict
    }
}

/// Plays until the gate halts, then withdraws; returns every hour.
fn play(fleet: &mut Fleet, until: i64) -> Vec<Hour> {
    let mut hours = Vec::new();
    let mut step = 0;
    for number in 0..until {
        let hour = fleet.hour(number);
        match hour.verdict {
            Verdict::Halt => {
                let bad = release("1.4.0", 4);
                fleet.rollout.halted = true;
                fleet.rollout.withdrawn.push(Withdrawal {
                    release: bad.manifest,
                    label: bad.label,
                    fallback: Some(release("1.3.0", 3).manifest),
                    reason: "the quiz does not open".to_owned(),
                    security: false,
                });
            }
            Verdict::Advance if step + 1 < STEPS.len() => {
                step += 1;
                fleet.rollout.share = share(STEPS[step]);
                let next = fleet.began.seconds() + (number + 1) * 3_600;
                fleet.rollout.since = Some(UtcTime::from_seconds(next));
            }
            _ => {}
        }
        hours.push(hour);
    }
    hours
}

#[test]
fn a_release_that_fails_on_two_of_a_hundred_is_halted_at_its_first_step_and_every_device_healed() {
    let temporary = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&temporary.path().join("receipts.db")).unwrap();
    let mut fleet = Fleet::new(store, 200);
    let unlucky = fleet
        .devices
        .iter()
        .filter(|device| device.is_unlucky)
        .count();
    assert!((150..=250).contains(&unlucky), "{unlucky}");
    let hours = play(&mut fleet, 48);
    let halted = hours.iter().position(|hour| hour.verdict == Verdict::Halt);
    let halted = halted.expect("the gate halts");
    assert!(
        hours[..=halted]
            .iter()
            .all(|hour| hour.share == share(STEPS[0]))
    );
    assert!(
        hours[..halted]
            .iter()
            .all(|hour| hour.verdict == Verdict::Wait)
    );
    let most = hours.iter().map(|hour| hour.on_new).max().unwrap();
    assert!(
        most > 0 && most <= 1_020,
        "no more than the first step: {most}"
    );
    let healed = hours.iter().rposition(|hour| hour.on_new > 0).unwrap() + 1;
    assert!(healed <= halted + 25, "each within a day of its own");
    assert!(fleet.devices.iter().all(|device| device.has("1.3.0")));
    let told = fleet.store.receipts().unwrap();
    assert!(told >= most as u64 && told < 1_100, "{told}");
    compare(&picture(&hours, halted, healed));
}

#[test]
fn a_release_that_opens_well_everywhere_reaches_everybody() {
    let temporary = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&temporary.path().join("receipts.db")).unwrap();
    let mut fleet = Fleet::new(store, 0);
    let hours = play(&mut fleet, 96);
    assert!(hours.iter().all(|hour| hour.verdict != Verdict::Halt));
    assert_eq!(hours.last().unwrap().on_new, 10_000);
    assert_eq!(fleet.store.receipts().unwrap(), DEVICES);
}

/// The picture in the documents is the one of this play; `SATCHEL_BLESS=1` writes it anew.
fn compare(picture: &str) {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../docs/src/operations/fleet.svg"
    );
    if std::env::var_os("SATCHEL_BLESS").is_some() {
        std::fs::write(path, picture).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == picture,
        "docs/src/operations/fleet.svg is of another play"
    );
}

fn picture(hours: &[Hour], halted: usize, healed: usize) -> String {
    let [width, height, left, top] = [640, 240, 56, 40_usize];
    let across = |hour: usize| left + hour * width / hours.len();
    let up = |count: u64| top + height - usize::try_from(count).unwrap() * height / 1_000;
    let line = |of: &dyn Fn(&Hour) -> u64| {
        let points = hours.iter().enumerate();
        let points =
            points.map(|(number, hour)| format!("{},{}", across(number + 1), up(of(hour))));
        format!(
            "{},{} {}",
            across(0),
            up(0),
            points.collect::<Vec<_>>().join(" ")
        )
    };
    let mut svg = String::new();
    let mut say = |text: String| writeln!(svg, "{text}").unwrap();
    let (right, bottom) = (left + width, top + height);
    say(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" role=\"img\" font-family=\"sans-serif\" font-size=\"13\">",
        right + 24,
        bottom + 56
    ));
    say("<title>A release that fails on 2 % of 10,000 devices is halted at 10 % and withdrawn</title>".to_owned());
    say("<style>text{fill:#222}.axis{stroke:#888;fill:none}.new{stroke:#1f6fb2;fill:none;stroke-width:2.5}.back{stroke:#b2341f;fill:none;stroke-width:2.5}.mark{stroke:#555;stroke-dasharray:4 4}rect{fill:#fff}</style>".to_owned());
    say(format!(
        "<rect width=\"{}\" height=\"{}\"/>",
        right + 24,
        bottom + 56
    ));
    for count in [0, 250, 500, 750, 1_000] {
        let y = up(count);
        say(format!(
            "<path class=\"axis\" stroke-opacity=\"0.3\" d=\"M{left} {y}H{right}\"/>"
        ));
        say(format!(
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{count}</text>",
            left - 8,
            y + 4
        ));
    }
    for hour in (0..=hours.len()).step_by(12) {
        let (x, y) = (across(hour), bottom + 20);
        say(format!(
            "<text x=\"{x}\" y=\"{y}\" text-anchor=\"middle\">{hour} h</text>"
        ));
    }
    for (hour, told) in [(halted + 1, "the gate halts"), (healed + 1, "all healed")] {
        let x = across(hour);
        say(format!("<path class=\"mark\" d=\"M{x} {top}V{bottom}\"/>"));
        say(format!(
            "<text x=\"{x}\" y=\"{}\" text-anchor=\"middle\">{told}, {hour} h</text>",
            top - 8
        ));
    }
    say(format!(
        "<polyline class=\"new\" points=\"{}\"/>",
        line(&|hour| hour.on_new as u64)
    ));
    say(format!(
        "<polyline class=\"back\" points=\"{}\"/>",
        line(&|hour| hour.went_back)
    ));
    let y = bottom + 44;
    say(format!(
        "<path class=\"new\" d=\"M{left} {}h24\"/><text x=\"{}\" y=\"{y}\">devices on the release</text>",
        y - 4,
        left + 32
    ));
    say(format!(
        "<path class=\"back\" d=\"M{} {}h24\"/><text x=\"{}\" y=\"{y}\">devices that went back by a failed trial</text>",
        left + 240,
        y - 4,
        left + 272
    ));
    say("</svg>".to_owned());
    svg
}
