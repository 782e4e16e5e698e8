use std::collections::{BTreeMap, BTreeSet};

use release_format::{
    DelegatedRole, Delegations, KeyId, KeyTable, PublicKey, RoleKeys, Root, TenantName, UtcTime,
};

use crate::govern::ceremony_error::{CeremonyError, short, short_ids};

/// Which keys join and leave which roles, of the four or of tenants.
#[derive(Debug, Clone, Default)]
pub struct TrustChange {
    /// Keys that join a role; the first one of a tenant's role makes it.
    pub add: Vec<(String, PublicKey)>,
    /// Keys that leave a role, by the beginnings of their ids.
    pub remove: Vec<(String, String)>,
    /// Signatures that a role needs from now on.
    pub thresholds: Vec<(String, u64)>,
    /// Tenants that may sign nothing any more.
    pub leave: Vec<TenantName>,
    /// Asks for a new root that is good until then, whether or not its keys change.
    pub root_expires: Option<UtcTime>,
}

/// What a change makes of the keys; nothing where it leaves them as they are.
pub(crate) struct ChangedKeys {
    pub(crate) root: Option<Root>,
    pub(crate) delegations: Option<Delegations>,
}

impl TrustChange {
    /// Returns the keys after the change, in a root that is issued `now`.
    pub(crate) fn apply(
        &self,
        root: &Root,
        delegations: Option<&Delegations>,
        now: UtcTime,
        root_expires: UtcTime,
    ) -> Result<ChangedKeys, CeremonyError> {
        let none = Delegations::default();
        let delegations = delegations.unwrap_or(&none);
        let mut top = KeyRoles::of_root(root);
        let mut tenants = KeyRoles::of_delegations(delegations);
        for tenant in &self.leave {
            for (role, _) in tenant.roles() {
                if tenants.roles.remove(&role).is_none() {
                    return Err(unfit(
                        &role,
                        "a role of the repository",
                        "none of this name",
                    ));
                }
            }
            tenants.roles.retain(|role, _| {
                let approves = TenantName::of_approval_role(role);
                approves.is_none_or(|(approver, _)| approver != *tenant)
            });
        }
        for (role, key) in &self.add {
            let is_top = top.roles.contains_key(role);
            // Whoever approves a channel begins with a file that has its rollouts.
            let is_known = tenants.roles.contains_key(role);
            if !is_top && !is_known && TenantName::of_role(role).is_none() {
                let expected = "one of the four, TENANT or TENANT-operations";
                return Err(unfit(role, expected, role));
            }
            let roles = if is_top { &mut top } else { &mut tenants };
            roles.add(role, key)?;
        }
        for (role, beginning) in &self.remove {
            let is_top = top.roles.contains_key(role);
            let roles = if is_top { &mut top } else { &mut tenants };
            roles.remove(role, beginning)?;
        }
        for (role, threshold) in &self.thresholds {
            let is_top = top.roles.contains_key(role);
            let roles = if is_top { &mut top } else { &mut tenants };
            roles.role(role)?.threshold = *threshold;
        }
        top.check()?;
        tenants.check()?;
        let (root_before, tenants_before) = (
            KeyRoles::of_root(root),
            KeyRoles::of_delegations(delegations),
        );
        let new_root = (top != root_before || self.root_expires.is_some()).then(|| {
            let mut new = root.clone();
            new.version = root.version.saturating_add(1);
            new.issued = Some(now);
            new.expires = self.root_expires.unwrap_or(root_expires);
            top.write_root(&mut new);
            new
        });
        let new_delegations = (tenants != tenants_before).then(|| tenants.delegations(delegations));
        if new_root.is_none() && new_delegations.is_none() {
            return Err(CeremonyError::Nothing);
        }
        Ok(ChangedKeys {
            root: new_root,
            delegations: new_delegations,
        })
    }
}

/// Roles and their keys, wherever they are listed.
#[derive(Clone, PartialEq, Eq)]
struct KeyRoles {
    keys: KeyTable,
    roles: BTreeMap<String, RoleKeys>,
}

impl KeyRoles {
    fn of_root(root: &Root) -> KeyRoles {
        KeyRoles {
            keys: root.keys.clone(),
            roles: root.roles.clone(),
        }
    }

    fn of_delegations(delegations: &Delegations) -> KeyRoles {
        let roles = delegations.roles.iter();
        KeyRoles {
            keys: delegations.keys.clone(),
            roles: roles
                .map(|role| (role.name.clone(), role.role_keys()))
                .collect(),
        }
    }

    fn role(&mut self, role: &str) -> Result<&mut RoleKeys, CeremonyError> {
        let known: Vec<_> = self.roles.keys().take(NAMED_ROLES).cloned().collect();
        let missing = || {
            unfit(
                role,
                &format!("a role that is there, such as {}", known.join(", ")),
                role,
            )
        };
        self.roles.get_mut(role).ok_or_else(missing)
    }

    fn add(&mut self, role: &str, key: &PublicKey) -> Result<(), CeremonyError> {
        let (Some(id), Some(json)) = (key.id(), key.to_json()) else {
            return Err(unfit(role, "a key that signs", "one of an unknown scheme"));
        };
        let new = RoleKeys {
            keyids: Vec::new(),
            threshold: 1,
        };
        let keys = self.roles.entry(role.to_owned()).or_insert(new);
        if keys.keyids.contains(&id) {
            let found = format!("{}, which it has already", short(&id));
            return Err(unfit(role, "a key that is new to it", &found));
        }
        keys.keyids.push(id.clone());
        self.keys.insert(id, json);
        Ok(())
    }

    fn remove(&mut self, role: &str, beginning: &str) -> Result<(), CeremonyError> {
        let keys = self.role(role)?;
        let is_meant = |id: &&KeyId| id.as_str().starts_with(beginning);
        let meant: Vec<KeyId> = keys.keyids.iter().filter(is_meant).cloned().collect();
        match &meant[..] {
            [id] if beginning.len() >= MIN_BEGINNING => keys.keyids.retain(|listed| listed != id),
            _ => {
                let has = short_ids(&keys.keyids);
                let expected =
                    format!("{MIN_BEGINNING} digits or more that begin one of its keys {has}");
                return Err(unfit(role, &expected, &format!("{beginning:?}")));
            }
        }
        Ok(())
    }

    /// Refuses roles that nobody could sign for, and drops keys that no role has.
    fn check(&mut self) -> Result<(), CeremonyError> {
        for (role, keys) in &self.roles {
            let count = keys.keyids.len() as u64;
            if keys.threshold == 0 || keys.threshold > count {
                let expected = format!("a threshold from 1 to the number of its keys, {count}");
                return Err(unfit(role, &expected, &keys.threshold.to_string()));
            }
        }
        let used: BTreeSet<_> = self.roles.values().flat_map(|keys| &keys.keyids).collect();
        self.keys.retain(|id, _| used.contains(id));
        Ok(())
    }

    fn write_root(&self, root: &mut Root) {
        root.keys = self.keys.clone();
        root.roles = self.roles.clone();
    }

    /// Returns the delegations, each role where it was and new ones behind them.
    fn delegations(&self, before: &Delegations) -> Delegations {
        let mut delegations = before.clone();
        delegations.keys = self.keys.clone();
        delegations
            .roles
            .retain(|role| self.roles.contains_key(&role.name));
        for (name, keys) in &self.roles {
            if let Some(role) = delegations.roles.iter_mut().find(|role| role.name == *name) {
                role.keyids = keys.keyids.clone();
                role.threshold = keys.threshold;
            } else if let Some((tenant, is_operations)) = TenantName::of_role(name) {
                let [(_, catalogues), (_, rollouts)] = tenant.roles();
                delegations.roles.push(DelegatedRole {
                    name: name.clone(),
                    keyids: keys.keyids.clone(),
                    threshold: keys.threshold,
                    terminating: true,
                    paths: Some(vec![if is_operations { rollouts } else { catalogues }]),
                    path_hash_prefixes: None,
                });
            }
        }
        delegations
    }
}

fn unfit(role: &str, expected: &str, found: &str) -> CeremonyError {
    CeremonyError::Unfit {
        role: role.to_owned(),
        expected: expected.to_owned(),
        found: found.to_owned(),
    }
}

/// Digits without which the beginning of an id is a guess.
const MIN_BEGINNING: usize = 8;
/// Roles that an error names; a repository may have thousands.
const NAMED_ROLES: usize = 8;

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;
    use release_format::{Ed25519Signer, Signer};

    use super::*;

    fn key(seed: u8) -> PublicKey {
        let signer = Ed25519Signer::new(SigningKey::from_bytes(&[seed; 32]));
        signer.public_key().clone()
    }

    fn id(seed: u8) -> String {
        key(seed).id().unwrap().to_string()
    }

    fn later() -> UtcTime {
        UtcTime::from_seconds(2_000_000_000)
    }

    fn apply(change: &TrustChange) -> Result<ChangedKeys, CeremonyError> {
        let keys = [key(1), key(2), key(3)];
        let one = [key(9)];
        let roles = [
            ("root", &keys[..], 2),
            ("targets", &keys[..], 2),
            ("snapshot", &one[..], 1),
            ("timestamp", &one[..], 1),
        ];
        let root = Root::first(later(), &roles);
        let mut delegations = Delegations::default();
        delegations.delegate("acme", &[key(20)], 1, &["acme/*/catalogue".to_owned()]);
        let paths = ["acme/*/rollout/*".to_owned()];
        delegations.delegate("acme-operations", &[key(21)], 1, &paths);
        change.apply(&root, Some(&delegations), later(), later().plus_days(1))
    }

    #[track_caller]
    fn assert_unfit(change: &TrustChange, expected_role: &str) {
        match apply(change).map(|_| ()) {
            Err(CeremonyError::Unfit { role, .. }) => assert_eq!(role, expected_role),
            other => panic!("expected a refusal, found {other:?}"),
        }
    }

    #[test]
    fn key_is_replaced_and_the_table_keeps_only_what_roles_have() {
        let change = TrustChange {
            add: vec![("timestamp".to_owned(), key(30))],
            remove: vec![("timestamp".to_owned(), id(9))],
            ..TrustChange::default()
        };
        let changed = apply(&change).unwrap();
        assert!(changed.delegations.is_none());
        let root = changed.root.unwrap();
        assert_eq!(root.version, 2);
        let keyids = &root.roles["timestamp"].keyids;
        assert_eq!(keyids, &[key(30).id().unwrap()]);
        assert_eq!(root.keys.len(), 5);
    }

    #[test]
    fn tenant_joins_with_its_own_paths_alone_and_leaves_whole() {
        let change = TrustChange {
            add: vec![
                ("globex".to_owned(), key(40)),
                ("globex-operations".to_owned(), key(41)),
            ],
            leave: vec![TenantName::parse("acme").unwrap()],
            ..TrustChange::default()
        };
        let delegations = apply(&change).unwrap().delegations.unwrap();
        let names: Vec<_> = delegations.roles.iter().map(|role| &*role.name).collect();
        assert_eq!(names, ["globex", "globex-operations"]);
        let role = delegations.role("globex").unwrap();
        assert!(role.terminating);
        assert!(role.may_sign("globex/physics/catalogue"));
        assert!(!role.may_sign("acme/biology/catalogue"));
        assert!(!role.may_sign("globex/physics/rollout/stable"));
        assert_eq!(delegations.keys.len(), 2);
    }

    #[test]
    fn what_nobody_could_sign_for_is_refused() {
        let role = |name: &str| name.to_owned();
        assert_unfit(
            &TrustChange {
                remove: vec![(role("timestamp"), id(9))],
                ..TrustChange::default()
            },
            "timestamp",
        );
        for threshold in [0, 4] {
            assert_unfit(
                &TrustChange {
                    thresholds: vec![(role("root"), threshold)],
                    ..TrustChange::default()
                },
                "root",
            );
        }
    }

    #[test]
    fn what_is_not_there_or_there_already_is_refused() {
        let role = |name: &str| name.to_owned();
        for (change, expected) in [
            (
                TrustChange {
                    add: vec![(role("root"), key(1))],
                    ..TrustChange::default()
                },
                "root",
            ),
            (
                TrustChange {
                    remove: vec![(role("root"), id(77))],
                    ..TrustChange::default()
                },
                "root",
            ),
            (
                TrustChange {
                    remove: vec![(role("root"), id(1)[..7].to_owned())],
                    ..TrustChange::default()
                },
                "root",
            ),
            (
                TrustChange {
                    add: vec![(role("a/b"), key(50))],
                    ..TrustChange::default()
                },
                "a/b",
            ),
            (
                TrustChange {
                    leave: vec![TenantName::parse("initech").unwrap()],
                    ..TrustChange::default()
                },
                "initech",
            ),
        ] {
            assert_unfit(&change, expected);
        }
        let nothing = apply(&TrustChange::default()).map(|_| ());
        assert_eq!(nothing, Err(CeremonyError::Nothing));
    }
}
