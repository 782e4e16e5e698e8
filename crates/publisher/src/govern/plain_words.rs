use std::collections::{BTreeMap, BTreeSet};

use release_format::{
    DelegatedRole, Delegations, KeyTable, PublicKey, RoleKeys, Root, Targets, UtcTime,
};

use crate::govern::ceremony_error::short;

/// Returns in plain words what `new` does otherwise than `old`: what a holder reads before signing.
///
/// A root has no field that is not told of here, changed or not.
pub(crate) fn tell_root(old: &Root, new: &Root) -> Vec<String> {
    let mut told = vec![
        format!("root {} replaces root {}", new.version, old.version),
        was_and_is("  it expires", old.expires, new.expires),
    ];
    let issued = |root: &Root| told_time(root.issued);
    told.push(was_and_is(ISSUED, issued(old), issued(new)));
    let named = |root: &Root| match root.consistent_snapshot {
        true => "by version and digest (consistent snapshot)",
        false => "plainly (no consistent snapshot)",
    };
    told.push(was_and_is("  files are named", named(old), named(new)));
    told.extend(tell_keys(&old.roles, &new.roles, true));
    told.extend(warnings(&old.keys, &new.keys));
    told
}

/// Returns in plain words what the targets role `new` does otherwise than `old`.
pub(crate) fn tell_targets(role: &str, old: Option<&Targets>, new: &Targets) -> Vec<String> {
    let mut told = vec![match old {
        Some(old) => format!("{role} {} replaces {role} {}", new.version, old.version),
        None => format!("{role} {} is the first one", new.version),
    }];
    let targets = new.targets.len();
    told.push(match old {
        Some(old) => was_and_is("  it expires", old.expires, new.expires),
        None => format!("  it expires {}", new.expires),
    });
    // A time far ahead would move the floor below which devices believe no clock.
    let issued = |body: &Targets| told_time(body.issued);
    told.push(match old {
        Some(old) => was_and_is(ISSUED, issued(old), issued(new)),
        None => format!("{ISSUED} {}", issued(new)),
    });
    told.push(format!("  its {targets} targets are as they were"));
    let none = Delegations::default();
    let before = old
        .and_then(|old| old.delegations.as_ref())
        .unwrap_or(&none);
    let after = new.delegations.as_ref().unwrap_or(&none);
    if before != after {
        let (old_keys, new_keys) = (keys_of(before), keys_of(after));
        told.extend(tell_paths(before, after));
        told.extend(tell_keys(&old_keys, &new_keys, false));
        told.extend(warnings(&before.keys, &after.keys));
    }
    told
}

fn keys_of(delegations: &Delegations) -> BTreeMap<String, RoleKeys> {
    let roles = delegations.roles.iter();
    roles
        .map(|role| (role.name.clone(), role.role_keys()))
        .collect()
}

/// Tells which keys join and leave each role, and how many have to sign.
fn tell_keys(
    old: &BTreeMap<String, RoleKeys>,
    new: &BTreeMap<String, RoleKeys>,
    names_unchanged: bool,
) -> Vec<String> {
    let mut told = Vec::new();
    let mut unchanged = 0_usize;
    let none = RoleKeys {
        keyids: Vec::new(),
        threshold: 0,
    };
    let names: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    for role in names {
        let before = old.get(role).unwrap_or(&none);
        let after = new.get(role).unwrap_or(&none);
        let rule = |keys: &RoleKeys| format!("{} of {} keys", keys.threshold, keys.keyids.len());
        if before == after {
            unchanged += 1;
            if names_unchanged {
                told.push(format!("  {role}: unchanged, {} must sign", rule(after)));
            }
            continue;
        }
        match (old.contains_key(role), new.contains_key(role)) {
            (true, false) => told.push(format!("  {role}: is REMOVED and signs nothing any more")),
            (false, _) => told.push(format!("  {role}: is NEW, {} must sign", rule(after))),
            _ => told.push(format!(
                "  {role}: {} must sign, it was {}",
                rule(after),
                rule(before)
            )),
        }
        for id in &after.keyids {
            let joins = !before.keyids.contains(id);
            let does = if joins { "JOINS" } else { "stays" };
            told.push(format!("    key {} {does}", short(id)));
        }
        for id in before.keyids.iter().filter(|id| !after.keyids.contains(id)) {
            told.push(format!("    key {} LEAVES", short(id)));
        }
    }
    if !names_unchanged && unchanged > 0 {
        told.push(format!(
            "  the keys of {unchanged} other roles are unchanged"
        ));
    }
    told
}

/// Tells which paths new roles may sign, and whatever else of a delegation is another than before.
fn tell_paths(old: &Delegations, new: &Delegations) -> Vec<String> {
    let mut told = Vec::new();
    for role in &new.roles {
        let before = old.role(&role.name);
        if before.is_none_or(|before| rule(before) != rule(role)) {
            let was = before.map_or("nothing".to_owned(), rule);
            told.push(format!(
                "  {}: may sign {}, it was {was}",
                role.name,
                rule(role)
            ));
        }
    }
    let order = |delegations: &Delegations, other: &Delegations| -> Vec<String> {
        let names = delegations.roles.iter().map(|role| role.name.clone());
        names.filter(|name| other.role(name).is_some()).collect()
    };
    if order(old, new) != order(new, old) {
        told.push("  the roles are asked in another order than before".to_owned());
    }
    told
}

fn rule(role: &DelegatedRole) -> String {
    let paths = match (&role.paths, &role.path_hash_prefixes) {
        (Some(paths), _) => paths.join(", "),
        (None, Some(prefixes)) => format!("paths whose digests begin with {}", prefixes.join(", ")),
        (None, None) => "no paths".to_owned(),
    };
    let terminating = if role.terminating {
        "and nobody else does"
    } else {
        "and others may too"
    };
    format!("{paths} ({terminating})")
}

/// An id is only a name: the same one must not come to stand for another key, nor one key for two.
fn warnings(old: &KeyTable, new: &KeyTable) -> Vec<String> {
    let mut told = Vec::new();
    for (id, key) in new {
        if old.get(id).is_some_and(|before| before != key) {
            let id = short(id);
            told.push(format!(
                "  WARNING: {id} stands for another key than before"
            ));
        }
        let parsed = PublicKey::from_json(key);
        if parsed.id().as_ref() != Some(id) {
            let id = short(id);
            told.push(format!(
                "  WARNING: {id} is not the id of its key, or its scheme is unknown"
            ));
        }
    }
    told
}

fn told_time(time: Option<UtcTime>) -> String {
    time.map_or("at no time".to_owned(), |time| time.to_string())
}

fn was_and_is(what: &str, old: impl ToString, new: impl ToString) -> String {
    let (old, new) = (old.to_string(), new.to_string());
    if old == new {
        format!("{what} {new}, as before")
    } else {
        format!("{what} {new}, it was {old}")
    }
}

const ISSUED: &str = "  it says that it was issued";
