use diff_core::Digest;
use release_format::{Catalogue, ChannelName, Label, PackName, Rollout, UtcTime};

/// Returns the rollout that offers a release of `pack` to every device of `channel`, behind `before`.
///
/// It takes over what is no matter of one release: the flags, what was withdrawn, and which clients
/// older releases are for; and it offers whoever is not reached what was for all before.
pub(crate) fn succeeding(
    (pack, channel): (&PackName, &ChannelName),
    (release, label): (Digest, &Label),
    before: Option<&Rollout>,
    catalogue: &Catalogue,
    now: UtcTime,
) -> Rollout {
    let mut rollout = Rollout {
        salt: salt(pack, channel, &release),
        since: Some(now),
        ..Rollout::new(pack.clone(), channel.clone(), release, label.clone())
    };
    let Some(before) = before else {
        return rollout;
    };
    rollout.otherwise = for_all(before, now).filter(|otherwise| *otherwise != release);
    rollout.flags.clone_from(&before.flags);
    rollout.withdrawn.clone_from(&before.withdrawn);
    let mut minimums = before.minimum_clients.clone();
    // What is gone from the catalogue can be offered to nobody.
    minimums.retain(|minimum| {
        minimum.release == release || catalogue.release(&minimum.release).is_some()
    });
    rollout.minimum_clients = minimums;
    rollout
}

/// Returns the release that every device of a channel may have.
pub(crate) fn for_all(rollout: &Rollout, now: UtcTime) -> Option<Digest> {
    if rollout.is_for_all(now) {
        Some(rollout.release)
    } else {
        rollout.otherwise
    }
}

/// Each release of each channel deals the devices anew, and the same one always the same way.
fn salt(pack: &PackName, channel: &ChannelName, manifest: &Digest) -> String {
    digits(&format!("{pack}|{channel}|{manifest}"))
}

/// A flag keeps its devices for as long as it has its name.
pub(crate) fn flag_salt(pack: &PackName, channel: &ChannelName, flag: &str) -> String {
    digits(&format!("{pack}|{channel}|flag|{flag}"))
}

fn digits(text: &str) -> String {
    let digest = Digest::of(text.as_bytes());
    digest.to_string().chars().take(SALT_DIGITS).collect()
}

/// Sixteen bytes.
const SALT_DIGITS: usize = 32;
