//! Writes inputs to start from into the corpora of the targets that take receipts, entries of the log,
//! approvals, proposals and rollouts: `cargo run --release --example governance_seeds` in `fuzz/`.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use diff_core::{CancelToken, Digest};
use publisher::{
    ChannelGuard, KeyStore, Offering, PublishOptions, Quiet, Repository, Retraction, Steering,
    TrustChange,
};
use release_format::{
    ChannelName, ClientVersion, DeviceKey, Label, Mode, PackName, Reason, Receipt, ReceiptId,
    ReceiptOutcome, ReceiptRoute, Receipted, Share, TenantName, UtcTime,
};

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> Outcome {
    receipts()?;
    let place = std::env::temp_dir().join(format!("satchel-seeds-{}", std::process::id()));
    fs::create_dir_all(&place)?;
    let written = governed(&place);
    fs::remove_dir_all(&place)?;
    written
}

fn seed(target: &str, name: &str, input: &[u8]) -> Outcome {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(name), input)?;
    Ok(())
}

/// One receipt of each outcome, a request of all of them, and an answer.
fn receipts() -> Outcome {
    let key = DeviceKey::from_seed(&[7; DeviceKey::SEED_LENGTH]);
    let mut request = Vec::new();
    let outcomes = [
        ReceiptOutcome::Confirmed,
        ReceiptOutcome::Failed,
        ReceiptOutcome::Reverted,
        ReceiptOutcome::ShadowOk,
        ReceiptOutcome::VerificationFailed,
    ];
    for (number, outcome) in (0_u8..).zip(outcomes) {
        let receipt = key.sign(Receipt {
            id: ReceiptId::from_bytes([number; ReceiptId::LENGTH]),
            device: key.id(),
            pack: PackName::parse("acme/biology-101")?,
            release: Digest::of(b"a manifest"),
            label: Label::parse("1.4.0")?,
            channel: ChannelName::default(),
            outcome,
            reason: Reason::new("host", "the quiz does not open")
                .ok()
                .filter(|_| outcome.needs_reason()),
            route: ReceiptRoute::Delta,
            fetched_bytes: 20_000,
            update_seconds: 9,
            trial_seconds: 3_600,
            time: UtcTime::from_seconds(1_795_300_000),
            clock_believed: number % 2 == 0,
            client: "0.1.0".to_owned(),
        })?;
        seed("receipt", outcome.name(), &receipt.encode())?;
        request.extend(receipt.encode());
        request.push(b'\n');
    }
    seed("receipt", "request", &request)?;
    let mut answer = Receipted::new();
    answer.accepted.push("0011223344556677-00".to_owned());
    seed("receipt", "answer", &answer.encode())
}

/// What a repository writes that is released to, steered, guarded and given other keys.
fn governed(place: &Path) -> Outcome {
    let folder = |name: &str| -> PathBuf { place.join(name) };
    fs::create_dir_all(folder("course"))?;
    let keys = KeyStore::folder(folder("keys"));
    let now = UtcTime::parse("2026-11-21T00:00:00Z")?;
    let pack = PackName::parse("acme/biology-101")?;
    let channel = ChannelName::default();
    Repository::init(folder("repository"), &keys, now)?;
    let repository = Repository::open(folder("repository"))?;
    for label in ["1.0", "1.1"] {
        fs::write(folder("course").join("index.html"), label)?;
        let options = PublishOptions::new(pack.clone(), Label::parse(label)?, now);
        let cancel = CancelToken::new();
        repository.publish(&folder("course"), &keys, &options, &Quiet, &cancel)?;
    }
    let mut offering = Offering::new(Label::parse("1.1")?, Share::parse("5%")?);
    offering.select.add("site", "nairobi")?;
    offering.mode = Mode::Shadow;
    offering.starts = Some(now);
    offering.minimum_client = Some(ClientVersion::new(0, 1, 0));
    offering.flags = vec![("new-quiz".to_owned(), Share::parse("10%")?)];
    let offer = Steering::Offer(offering);
    repository.steer(&pack, &channel, &keys, now, &offer)?;
    let retraction = Retraction {
        release: Label::parse("1.0")?,
        fallback: None,
        reason: "it shows the answers".to_owned(),
        security: true,
    };
    repository.withdraw(&pack, &keys, now, &retraction)?;
    for rollout in repository.rollouts(&pack)? {
        seed("rollout", "schema-2", &rollout.encode()?)?;
    }

    let holder = KeyStore::folder(folder("holder"));
    let public = holder.generate("anna")?;
    let guard = ChannelGuard {
        tenant: TenantName::parse("acme")?,
        channel: channel.clone(),
        keys: holder
            .public_keys()?
            .into_iter()
            .map(|(_, key)| key)
            .collect(),
        threshold: 1,
    };
    let mut approval = repository.propose_guard(&guard, now)?;
    approval.sign(&public)?;
    seed("approval", "guard", &approval.encode())?;
    repository.publish_approval(&approval, &keys, now)?;
    let halt = Steering::Halt {
        reason: "the quiz does not open".to_owned(),
    };
    let mut approval = repository.propose_steering(&pack, &channel, now, &halt)?;
    seed("approval", "halt", &approval.encode())?;
    approval.sign(&public)?;
    seed("approval", "halt-signed", &approval.encode())?;
    let change = TrustChange {
        root_expires: Some(now.plus_days(400)),
        ..TrustChange::default()
    };
    let mut proposal = repository.propose(&change, now)?;
    seed("approval", "proposal", &proposal.encode())?;
    proposal.sign_with(&keys)?;
    seed("approval", "proposal-signed", &proposal.encode())?;
    for entry in fs::read_dir(folder("repository").join("audit"))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        seed("log_entry", &name, &fs::read(entry.path())?)?;
    }
    Ok(())
}
