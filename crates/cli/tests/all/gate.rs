//! `satchel gate` over a plan: what it says, by which exit code, and what it signs.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use collector::{SqliteStore, Store};
use diff_core::Digest;
use publisher::{Offering, Repository, Steering};
use release_format::{
    ChannelName, DeviceKey, Label, Reason, Receipt, ReceiptId, ReceiptOutcome, ReceiptRoute,
    Receipted, Rollout, Share, SignedReceipt, UtcTime,
};
use satchel_tests::rig::world::{World, first_course, second_course};
use serde_json::Value;
use updater_client::{Clock, HttpTransport, SystemClock};

use crate::place::{Ran, Running, satchel};

const DAY: i64 = 86_400;

/// A release at the first step of its plan since two days.
struct Scene {
    world: World,
    plan: PathBuf,
    release: Digest,
    now: UtcTime,
}

impl Scene {
    fn new() -> Scene {
        let now = SystemClock.now();
        let world = World::at(now);
        world.publish("1.0", &first_course());
        let release = world.publish("1.1", &second_course()).manifest;
        let scene = Scene {
            plan: world.folder().join("rollout.toml"),
            release,
            now,
            world,
        };
        let steps = "[[step]]\nshare = \"10%\"\nwait = \"1d\"\n[[step]]\nshare = \"50%\"\n";
        let head = "pack = \"acme/biology-101\"\nrelease = \"1.1\"\n";
        std::fs::write(&scene.plan, format!("{head}{steps}")).unwrap();
        let offer = Offering::new(Label::parse("1.1").unwrap(), Share::parse("10%").unwrap());
        let keys = scene.world.keys();
        let (pack, channel) = (scene.world.pack(), ChannelName::default());
        let began = UtcTime::from_seconds(now.seconds() - 2 * DAY);
        let change = Steering::Offer(offer);
        scene
            .repository()
            .steer(pack, &channel, &keys, began, &change)
            .unwrap();
        scene
    }

    fn repository(&self) -> Repository {
        Repository::open(self.world.repository()).unwrap()
    }

    fn rollout(&self) -> Rollout {
        let rollouts = self.repository().rollouts(self.world.pack()).unwrap();
        rollouts.into_iter().next().unwrap()
    }

    fn receipts(
        &self,
        numbers: std::ops::Range<u32>,
        outcome: ReceiptOutcome,
    ) -> Vec<SignedReceipt> {
        let reason = Reason::new("host", "the quiz does not open").unwrap();
        numbers
            .map(|number| {
                let key = DeviceKey::from_seed(Digest::of(&number.to_le_bytes()).as_bytes());
                let receipt = Receipt {
                    id: ReceiptId::from_bytes([7; ReceiptId::LENGTH]),
                    device: key.id(),
                    pack: self.world.pack().clone(),
                    release: self.release,
                    label: Label::parse("1.1").unwrap(),
                    channel: ChannelName::default(),
                    outcome,
                    reason: Some(reason.clone()).filter(|_| outcome.needs_reason()),
                    route: ReceiptRoute::Delta,
                    fetched_bytes: 1,
                    update_seconds: 1,
                    trial_seconds: 600,
                    time: UtcTime::from_seconds(self.now.seconds() - DAY),
                    clock_believed: true,
                    client: "0.1.0".to_owned(),
                };
                key.sign(receipt).unwrap()
            })
            .collect()
    }

    fn database(&self, name: &str, receipts: &[SignedReceipt]) -> PathBuf {
        let path = self.world.folder().join(name);
        let mut store = SqliteStore::open(&path).unwrap();
        store.write(receipts, self.now).unwrap();
        path
    }

    /// Returns the exit code and what is printed.
    fn gate(&self, arguments: &[&str]) -> (i32, Value) {
        let repository = self.world.repository();
        let output = satchel(&[
            "gate",
            repository.to_str().unwrap(),
            "acme/biology-101",
            "--json",
        ])
        .args(["--plan", self.plan.to_str().unwrap()])
        .args(["--keys", self.world.folder().join("keys").to_str().unwrap()])
        .args(arguments)
        .output()
        .unwrap();
        let ran = Ran::of(output);
        (ran.exit, ran.json())
    }
}

#[test]
fn a_good_step_is_followed_by_the_next_and_signed_only_where_asked() {
    let scene = Scene::new();
    let good = scene.database(
        "good.db",
        &scene.receipts(0..2_000, ReceiptOutcome::Confirmed),
    );
    let good = good.to_str().unwrap();
    let before = scene.rollout();
    let (code, told) = scene.gate(&["--receipts", good]);
    assert_eq!((code, &told["verdict"]), (0, &"advance".into()), "{told}");
    assert_eq!(scene.rollout(), before);
    let (code, told) = scene.gate(&["--receipts", good, "--apply"]);
    assert_eq!(code, 0);
    assert!(!told["applied"].as_array().unwrap().is_empty(), "{told}");
    assert_eq!(scene.rollout().share, Share::parse("50%").unwrap());
    // The step that just began is the last one, and nothing is known of it.
    let (code, told) = scene.gate(&["--receipts", good, "--apply"]);
    assert_eq!((code, &told["step"]), (10, &2.into()));
    assert_eq!(scene.rollout().share, Share::parse("50%").unwrap());
}

#[test]
fn a_bad_step_is_halted_and_devices_are_told_why() {
    let scene = Scene::new();
    let mut receipts = scene.receipts(0..960, ReceiptOutcome::Confirmed);
    receipts.extend(scene.receipts(960..1_000, ReceiptOutcome::Failed));
    let folder = scene.world.folder().join("stick/receipts");
    std::fs::create_dir_all(&folder).unwrap();
    for receipt in &receipts {
        std::fs::write(folder.join(receipt.file_name()), receipt.encode()).unwrap();
    }
    let stick = scene.world.folder().join("stick");
    let (code, told) = scene.gate(&["--receipts", stick.to_str().unwrap(), "--apply"]);
    assert_eq!((code, &told["verdict"]), (11, &"halt".into()), "{told}");
    let rollout = scene.rollout();
    assert!(rollout.halted);
    assert!(
        rollout.halt_reason.starts_with("reverts: 40 failed"),
        "{}",
        rollout.halt_reason
    );
    // Whoever looks at the page sees by which arithmetic.
    let page = scene.repository().report(SystemClock.now(), None).unwrap();
    assert!(page.contains("gate: halt: reverts: 40 failed"), "{page}");
    let (code, told) = scene.gate(&["--receipts", stick.to_str().unwrap(), "--apply"]);
    assert_eq!((code, &told["applied"]), (11, &Value::Array(Vec::new())));
}

#[test]
fn nothing_is_signed_on_missing_or_contradictory_receipts() {
    let scene = Scene::new();
    let good = scene.database(
        "good.db",
        &scene.receipts(0..2_000, ReceiptOutcome::Confirmed),
    );
    let other = scene.database(
        "other.db",
        &scene.receipts(0..1_000, ReceiptOutcome::Confirmed),
    );
    let few = scene.database("few.db", &scene.receipts(0..100, ReceiptOutcome::Confirmed));
    let absent = scene.world.folder().join("absent.db");
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let nobody = format!("http://{port}");
    let before = scene.rollout();
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    for evidence in [
        vec!["--receipts".to_owned(), path(&absent)],
        vec!["--receipts".to_owned(), path(&few)],
        vec![
            "--receipts".to_owned(),
            path(&good),
            "--receipts".to_owned(),
            path(&other),
        ],
        vec![
            "--receipts".to_owned(),
            path(&good),
            "--receipts".to_owned(),
            path(&absent),
        ],
        vec![
            "--receipts".to_owned(),
            path(&good),
            "--prometheus".to_owned(),
            nobody,
        ],
    ] {
        let mut arguments: Vec<&str> = evidence.iter().map(String::as_str).collect();
        arguments.push("--apply");
        let (code, told) = scene.gate(&arguments);
        assert_eq!((code, &told["verdict"]), (10, &"wait".into()), "{told}");
        assert_eq!(scene.rollout(), before);
    }
}

struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The collector, a real Prometheus that reads it, and the gate that asks that.
#[test]
fn a_gate_over_a_real_prometheus_counts_what_the_collector_counted() {
    let Some(prometheus) = ["/usr/bin/prometheus", "/usr/local/bin/prometheus"]
        .into_iter()
        .find(|path| cfg!(unix) && Path::new(path).exists())
    else {
        eprintln!("skipped: there is no Prometheus on this machine");
        return;
    };
    let scene = Scene::new();
    let folder = scene.world.folder();
    let database = folder.join("receipts.db");
    let mut command = satchel(&["collect", "--database", database.to_str().unwrap()]);
    let collecting = Running::start(command.args(["--listen", "127.0.0.1:0"]));
    let url = &collecting.url;
    let transport = HttpTransport::new(url).unwrap();
    let mut receipts = scene.receipts(0..1_990, ReceiptOutcome::Confirmed);
    receipts.extend(scene.receipts(1_990..1_995, ReceiptOutcome::Failed));
    for batch in receipts.chunks(500) {
        let body: Vec<u8> = batch
            .iter()
            .map(SignedReceipt::encode)
            .collect::<Vec<_>>()
            .join(&b'\n');
        transport
            .post(Receipted::LOCATION, "application/x-ndjson", None, body)
            .unwrap();
    }
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let target = url.trim_start_matches("http://");
    let settings = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs: [{{job_name: satchel, static_configs: [{{targets: ['{target}']}}]}}]\n"
    );
    let file = folder.join("prometheus.yml");
    std::fs::write(&file, settings).unwrap();
    let child = Command::new(prometheus)
        .arg(format!("--config.file={}", file.display()))
        .arg(format!(
            "--storage.tsdb.path={}",
            folder.join("tsdb").display()
        ))
        .arg(format!("--web.listen-address={port}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _prometheus = Ended(child);
    let address = format!("http://{port}");
    let begun = Instant::now();
    let told = loop {
        let (code, told) = scene.gate(&[
            "--prometheus",
            &address,
            "--receipts",
            database.to_str().unwrap(),
        ]);
        if code == 0 {
            break told;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{told}");
    };
    let lines = told["lines"].to_string();
    assert!(
        lines.contains("1990 confirmed + 5 failed + 0 reverted = 1995"),
        "{lines}"
    );
    let (code, told) = scene.gate(&["--prometheus", &address]);
    assert_eq!(code, 0, "{told}");
    assert!(
        told["lines"]
            .to_string()
            .contains("1990 confirmed + 5 failed"),
        "{told}"
    );
}
