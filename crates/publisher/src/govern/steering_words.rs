use diff_core::Digest;
use release_format::{Catalogue, Mode, Rollout, Share};

/// Returns what is otherwise in `after` than in `before`, a sentence each; none where nothing is.
pub(crate) fn changes(
    before: Option<&Rollout>,
    after: &Rollout,
    catalogue: &Catalogue,
) -> Vec<String> {
    let mut told = Vec::new();
    let Some(before) = before else {
        told.push(format!(
            "channel {} is new: it offers {} to {}",
            after.channel,
            after.label,
            to_whom(after)
        ));
        told.extend(details(after));
        return told;
    };
    if before.release != after.release {
        told.push(format!(
            "channel {} offers {} to {} instead of {} to {}",
            after.channel,
            after.label,
            to_whom(after),
            before.label,
            to_whom(before)
        ));
        told.extend(details(after));
    } else {
        if to_whom(before) != to_whom(after) {
            told.push(format!(
                "{} goes to {} instead of {}",
                after.label,
                to_whom(after),
                to_whom(before)
            ));
        }
        if before.mode != after.mode {
            told.push(mode(after).to_owned());
        }
        if before.starts != after.starts {
            told.push(match after.starts {
                Some(starts) => format!("it starts {starts}"),
                None => "it has started".to_owned(),
            });
        }
        let minimum = |rollout: &Rollout| rollout.minimum_client(&after.release);
        if let Some(client) = minimum(after).filter(|_| minimum(before) != minimum(after)) {
            told.push(format!("it needs client {client}"));
        }
    }
    if before.halted != after.halted {
        told.push(match (after.halted, after.halt_reason.as_str()) {
            (true, "") => format!("the rollout of {} is halted", after.label),
            (true, reason) => format!("the rollout of {} is halted: {reason}", after.label),
            (false, _) => format!("the rollout of {} goes on", after.label),
        });
    } else if before.halt_reason != after.halt_reason {
        told.push(format!("the halt's reason is now: {}", after.halt_reason));
    }
    let named = |manifest: Option<Digest>| {
        manifest.map_or("nothing".to_owned(), |manifest| {
            let known = catalogue.release(&manifest);
            known.map_or_else(|| manifest.short(), |release| release.label.to_string())
        })
    };
    if before.otherwise != after.otherwise {
        told.push(format!(
            "devices that are not offered it are offered {}",
            named(after.otherwise)
        ));
    }
    for withdrawal in &after.withdrawn {
        if before.withdrawn.contains(withdrawal) {
            continue;
        }
        let back = match withdrawal.fallback {
            Some(fallback) => format!("devices that have it go back to {}", named(Some(fallback))),
            None => "devices that have it go to the newest that is not withdrawn".to_owned(),
        };
        let pins = if withdrawal.security {
            ", pinned ones too"
        } else {
            ""
        };
        told.push(format!("{} is withdrawn: {back}{pins}", withdrawal.label));
    }
    for flag in &after.flags {
        let was = before.flags.iter().find(|known| known.name == flag.name);
        let was = was.map_or(Share::from_basis_points(0), |was| Some(was.share));
        if was != Some(flag.share) || !before.flags.iter().any(|known| known.name == flag.name) {
            told.push(format!(
                "flag {} is on for {} of devices",
                flag.name, flag.share
            ));
        }
    }
    told
}

/// Returns all that a rollout says, a sentence each: what whoever approves it reads.
pub(crate) fn whole(rollout: &Rollout) -> Vec<String> {
    let (pack, channel) = (&rollout.pack, &rollout.channel);
    let (label, release) = (&rollout.label, rollout.release.short());
    let mut told = vec![format!(
        "{pack}, {channel}: offers {label} ({release}) to {}",
        to_whom(rollout)
    )];
    told.extend(details(rollout));
    if rollout.halted {
        told.push(format!("it is halted: {}", rollout.halt_reason));
    }
    if let Some(otherwise) = &rollout.otherwise {
        told.push(format!("others are offered {}", otherwise.short()));
    }
    for minimum in &rollout.minimum_clients {
        let (release, client) = (minimum.release.short(), minimum.client);
        told.push(format!("{release} is for client {client} or newer"));
    }
    for of in &rollout.withdrawn {
        let back = of.fallback.map_or("the newest".to_owned(), |to| to.short());
        let pins = if of.security { ", pinned ones too" } else { "" };
        told.push(format!(
            "{} is withdrawn: devices go back to {back}{pins}",
            of.label
        ));
    }
    for flag in &rollout.flags {
        told.push(format!(
            "flag {} is on for {} of devices",
            flag.name, flag.share
        ));
    }
    told
}

/// Returns the devices that a rollout reaches, in words.
pub(crate) fn to_whom(rollout: &Rollout) -> String {
    let share = match rollout.share {
        Share::FULL => "all devices".to_owned(),
        share => format!("{share} of devices"),
    };
    match rollout.select.is_empty() {
        true => share,
        false => format!("{share} with {}", rollout.select),
    }
}

fn details(rollout: &Rollout) -> Vec<String> {
    let mut told = Vec::new();
    if rollout.mode != Mode::Standard {
        told.push(mode(rollout).to_owned());
    }
    told.extend(rollout.starts.map(|starts| format!("it starts {starts}")));
    let minimum = rollout.minimum_client(&rollout.release);
    told.extend(minimum.map(|client| format!("it needs client {client}")));
    told
}

fn mode(rollout: &Rollout) -> &'static str {
    match rollout.mode {
        Mode::Standard => "devices switch to it",
        Mode::Shadow => "devices stage and check it, and never switch to it",
    }
}
