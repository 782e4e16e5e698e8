//! What it costs a device to find out what a rollout means for it.

use std::hint::black_box;
use std::time::Instant;

use diff_core::Digest;
use release_format::{
    Asker, ChannelName, ClientVersion, DeviceId, DeviceLabels, FeatureFlag, Label, MinimumClient,
    PackName, Rollout, Share, UtcTime, Withdrawal,
};

use crate::Outcome;

/// The argument that asks for this measurement.
pub(crate) const ROLLOUTS: &str = "rollouts";

/// Prints the time of one evaluation: of a plain rollout, and of one that says all that there may be.
pub(crate) fn measure() -> Outcome<()> {
    let pack = PackName::parse("acme/biology-101")?;
    let (channel, label) = (ChannelName::default(), Label::parse("1.4.0")?);
    let mut plain = Rollout::new(pack, channel, Digest::of(b"1.4.0"), label.clone());
    plain.share = Share::parse("25%")?;
    let mut labels = DeviceLabels::default();
    let mut full = plain.clone();
    full.starts = Some(UtcTime::from_seconds(0));
    for number in 0..16 {
        let key = format!("key-{number}");
        labels.set(&key, "value-255")?;
        for value in 0..16 {
            full.select.add(&key, &format!("value-{}", 240 + value))?;
        }
    }
    full.minimum_clients = (0..64_u32)
        .map(|number| MinimumClient {
            release: Digest::of(&number.to_le_bytes()),
            client: ClientVersion::new(0, 1, 0),
        })
        .collect();
    full.minimum_clients.sort_by_key(|minimum| minimum.release);
    full.withdrawn = (0..64_u32)
        .map(|number| Withdrawal {
            release: Digest::of(&number.to_be_bytes()),
            label: label.clone(),
            fallback: None,
            reason: "it shows the answers".to_owned(),
            security: false,
        })
        .collect();
    full.withdrawn.sort_by_key(|of| of.release);
    full.flags = (10..74)
        .map(|number| FeatureFlag {
            name: format!("flag-{number}"),
            salt: format!("salt-{number}"),
            share: plain.share,
        })
        .collect();
    for (name, rollout) in [("plain", &plain), ("everything", &full)] {
        let bytes = rollout.encode()?.len();
        let asker = |number: u64| Asker {
            device: device(number),
            labels: &labels,
            client: ClientVersion::new(0, 1, 0),
            now: UtcTime::from_seconds(1),
        };
        let decided = nanoseconds(|number| {
            black_box(rollout.decide(black_box(&asker(number))));
        });
        let explained = nanoseconds(|number| {
            black_box(rollout.explain(black_box(&asker(number))));
        });
        let flags = nanoseconds(|number| {
            black_box(rollout.flags_of(black_box(&device(number))));
        });
        println!(
            "{name:12} {bytes:6} bytes: decided in {decided} ns, explained in {explained} ns; its flags \
             in {flags} ns"
        );
    }
    Ok(())
}

/// Returns the mean time of one call.
fn nanoseconds(mut call: impl FnMut(u64)) -> u128 {
    (0..ROUNDS / 10).for_each(&mut call);
    let start = Instant::now();
    (0..ROUNDS).for_each(&mut call);
    start.elapsed().as_nanos() / u128::from(ROUNDS)
}

fn device(number: u64) -> DeviceId {
    let mut bytes = [0; DeviceId::LENGTH];
    for (byte, of) in bytes.iter_mut().zip(number.to_le_bytes()) {
        *byte = of;
    }
    DeviceId::from_bytes(bytes)
}

const ROUNDS: u64 = 100_000;
