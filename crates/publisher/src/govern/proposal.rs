use std::collections::BTreeMap;

use release_format::{
    Delegations, KeyId, KeyTable, PublicKey, RoleDraft, RoleKeys, Root, Signer, Targets,
    TrustError, TrustLimits, TrustedSet,
};
use serde_json::{Map, Value, json};

use crate::PublishError;
use crate::govern::ceremony_error::{CeremonyError, Shortfall, short};
use crate::govern::plain_words::{tell_root, tell_targets};
use crate::key_store::KeyStore;

/// New keys on their way from holder to holder: one small file that has all that a machine without a
/// network needs.
///
/// It holds the next root, or the next targets role, or both, and every role that has to be signed
/// anew because its keys are others; and beside each the file that it replaces, whole, so that
/// whoever signs is told what changes by their own machine.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// What errors call it: its file, as a rule.
    place: String,
    /// The root that devices trust, as it was published.
    previous_root: Vec<u8>,
    old_root: Root,
    root: Option<RoleDraft<Root>>,
    /// `targets`, and roles that it delegates to.
    roles: BTreeMap<String, ProposedRole>,
}

/// The next file of a targets role.
#[derive(Debug, Clone)]
struct ProposedRole {
    /// The file that it replaces, as it was published; none for the first one.
    previous: Option<Vec<u8>>,
    old: Option<Targets>,
    draft: RoleDraft<Targets>,
}

/// A role's keys with the table that they are listed in.
struct Judge<'a> {
    name: String,
    keys: RoleKeys,
    table: &'a KeyTable,
}

impl Proposal {
    /// The most bytes that a proposal may have.
    pub const MAX_BYTES: u64 = 16 << 20;

    /// Returns the proposal of a new root and of new files of targets roles, each with the file that it
    /// replaces.
    pub(crate) fn new(
        place: &str,
        previous_root: &[u8],
        root: Option<Root>,
        roles: Vec<(String, Option<Vec<u8>>, Targets)>,
    ) -> Result<Proposal, CeremonyError> {
        let draft = |body| RoleDraft::new(body).map_err(|error| malformed(place, &error));
        let root = root.map(draft).transpose()?;
        let mut drafts = BTreeMap::new();
        for (role, previous, body) in roles {
            let draft = RoleDraft::new(body).map_err(|error| malformed(place, &error))?;
            drafts.insert(role, (previous, draft));
        }
        Proposal::of(place, previous_root, root, drafts)
    }

    fn of(
        place: &str,
        previous_root: &[u8],
        root: Option<RoleDraft<Root>>,
        drafts: BTreeMap<String, (Option<Vec<u8>>, RoleDraft<Targets>)>,
    ) -> Result<Proposal, CeremonyError> {
        let trusted = TrustedSet::pinned(previous_root, TrustLimits::default())
            .map_err(|error| malformed(place, &error))?;
        let mut roles = BTreeMap::new();
        for (role, (previous, draft)) in drafts {
            let old = match &previous {
                Some(bytes) => Some(parse_draft::<Targets>(place, &role, bytes)?),
                None => None,
            };
            let old = old.map(|old| old.body().clone());
            let proposed = ProposedRole {
                previous,
                old,
                draft,
            };
            roles.insert(role, proposed);
        }
        let proposal = Proposal {
            place: place.to_owned(),
            previous_root: previous_root.to_vec(),
            old_root: trusted.root().clone(),
            root,
            roles,
        };
        proposal.check()?;
        Ok(proposal)
    }

    /// Reads a proposal; `place` is what errors call it.
    ///
    /// # Errors
    /// [`CeremonyError::Malformed`] for what is none; [`CeremonyError::UnknownKey`] and
    /// [`CeremonyError::Tampered`] for a signature that does not count.
    pub fn parse(place: &str, bytes: &[u8]) -> Result<Proposal, CeremonyError> {
        let wrong = |found: String| CeremonyError::Malformed {
            place: place.to_owned(),
            expected: format!("a proposal in JSON, with schema {SCHEMA}"),
            found,
        };
        if bytes.len() as u64 > Proposal::MAX_BYTES {
            return Err(wrong(format!("{} bytes", bytes.len())));
        }
        let file: Value =
            serde_json::from_slice(bytes).map_err(|error| wrong(error.to_string()))?;
        let schema = file.get("schema").and_then(Value::as_u64);
        if schema != Some(SCHEMA) {
            let found = schema.map_or("none".to_owned(), |schema| format!("schema {schema}"));
            return Err(wrong(found));
        }
        let part = |name: &str| {
            let files = file.get(name).and_then(Value::as_object);
            files.ok_or_else(|| wrong(format!("no object {name:?}")))
        };
        // Texts, so that the very bytes are kept that the repository has.
        let text = |files: &Map<String, Value>, role: &str| {
            let text = files.get(role).and_then(Value::as_str);
            text.map(|text| text.as_bytes().to_vec())
        };
        let (previous, proposed) = (part("previous")?, part("proposed")?);
        let previous_root =
            text(previous, "root").ok_or_else(|| wrong("no root before".to_owned()))?;
        let mut root = None;
        let mut roles = BTreeMap::new();
        for role in proposed.keys() {
            let file = text(proposed, role).ok_or_else(|| wrong(format!("no text {role:?}")))?;
            if role == "root" {
                root = Some(parse_draft::<Root>(place, role, &file)?);
            } else {
                let draft = parse_draft::<Targets>(place, role, &file)?;
                roles.insert(role.clone(), (text(previous, role), draft));
            }
        }
        let proposal = Proposal::of(place, &previous_root, root, roles)?;
        proposal.refuse_odd_signatures()?;
        Ok(proposal)
    }

    /// Returns the file.
    pub fn encode(&self) -> Vec<u8> {
        let text = |bytes: &[u8]| Value::from(String::from_utf8_lossy(bytes).into_owned());
        let mut previous = Map::from_iter([("root".to_owned(), text(&self.previous_root))]);
        let mut proposed = Map::new();
        if let Some(root) = &self.root {
            proposed.insert("root".to_owned(), text(&root.encode()));
        }
        for (role, file) in &self.roles {
            if let Some(bytes) = &file.previous {
                previous.insert(role.clone(), text(bytes));
            }
            proposed.insert(role.clone(), text(&file.draft.encode()));
        }
        let file = json!({ "schema": SCHEMA, "previous": previous, "proposed": proposed });
        format!("{file:#}\n").into_bytes()
    }

    /// Returns the root that devices trust.
    pub fn old_root(&self) -> &Root {
        &self.old_root
    }

    /// Returns the root that devices will trust: the same one where none is proposed.
    pub fn new_root(&self) -> &Root {
        self.root.as_ref().map_or(&self.old_root, RoleDraft::body)
    }

    /// Returns the bytes of the root that devices trust, whose digest a holder compares with a copy.
    pub fn previous_root(&self) -> &[u8] {
        &self.previous_root
    }

    /// Returns the file of the new root with its signatures so far.
    pub fn root_file(&self) -> Option<Vec<u8>> {
        self.root.as_ref().map(RoleDraft::encode)
    }

    /// Returns the roles whose files are proposed, with their versions.
    pub fn files(&self) -> Vec<(String, u64)> {
        let root = self
            .root
            .iter()
            .map(|root| ("root".to_owned(), root.body().version));
        let roles = self.roles.iter();
        let roles = roles.map(|(role, file)| (role.clone(), file.draft.body().version));
        root.chain(roles).collect()
    }

    /// Returns whose signatures each file has.
    pub fn signatures(&self) -> Vec<(String, Vec<KeyId>)> {
        let root = self.root.iter();
        let root = root.map(|root| ("root".to_owned(), root.signers().cloned().collect()));
        let roles = self.roles.iter();
        let roles =
            roles.map(|(role, file)| (role.clone(), file.draft.signers().cloned().collect()));
        root.chain(roles).collect()
    }

    /// Returns the files of targets roles, each with its role, its version and the file before it.
    pub(crate) fn target_files(
        &self,
    ) -> impl Iterator<Item = (&str, u64, Option<&[u8]>, Vec<u8>)> + '_ {
        self.roles.iter().map(|(role, file)| {
            let version = file.draft.body().version;
            (
                role.as_str(),
                version,
                file.previous.as_deref(),
                file.draft.encode(),
            )
        })
    }

    /// Whether the signatures satisfy those who trust the old root alone.
    pub(crate) fn satisfies_old_root(&self) -> bool {
        let targets = self.old_root.roles.get("targets");
        self.roles.get("targets").is_none_or(|file| {
            targets.is_some_and(|keys| file.draft.satisfies(keys, &self.old_root.keys))
        })
    }

    /// Returns in plain words what changes.
    pub fn describe(&self) -> Vec<String> {
        let mut told = match &self.root {
            Some(root) => tell_root(&self.old_root, root.body()),
            None => vec![format!("root {} stays", self.old_root.version)],
        };
        for (role, file) in &self.roles {
            told.extend(tell_targets(role, file.old.as_ref(), file.draft.body()));
        }
        told
    }

    /// Adds the signatures of `signer` to every file that its key may sign, and returns these roles.
    ///
    /// # Errors
    /// [`CeremonyError::UnknownKey`] for a key of no role that is proposed;
    /// [`PublishError::Unsigned`] when it cannot sign.
    pub fn sign(&mut self, signer: &dyn Signer) -> Result<Vec<String>, PublishError> {
        let key = signer.public_key();
        let Some(id) = key.id() else {
            return Err(self.unknown("a key of an unknown scheme".to_owned()).into());
        };
        let names: Vec<_> = self.files().into_iter().map(|(role, _)| role).collect();
        let may_sign = |role: &String| self.keys_named(role, &id).contains(key);
        let mine: Vec<String> = names.into_iter().filter(may_sign).collect();
        if mine.is_empty() {
            return Err(self.unknown(short(&id)).into());
        }
        for role in &mine {
            let signed = match (role.as_str(), &mut self.root) {
                ("root", Some(root)) => root.sign(signer).map(|_| ()),
                _ => match self.roles.get_mut(role) {
                    Some(file) => file.draft.sign(signer).map(|_| ()),
                    None => Ok(()),
                },
            };
            signed.map_err(|source| PublishError::Unsigned {
                key: short(&id),
                source,
            })?;
        }
        Ok(mine)
    }

    /// Adds the signatures of every key in `keys` that may sign, and returns how many keys did.
    ///
    /// # Errors
    /// As [`Proposal::sign`], and for a key that cannot be opened.
    pub fn sign_with(&mut self, keys: &KeyStore) -> Result<usize, PublishError> {
        let mut ids: Vec<KeyId> = Vec::new();
        for (role, _) in self.files() {
            let judges = [self.old_judge(&role), self.new_judge(&role)];
            let named = judges
                .into_iter()
                .flatten()
                .flat_map(|judge| judge.keys.keyids);
            for id in named {
                if !ids.contains(&id) {
                    ids.push(id);
                }
            }
        }
        let signers = keys.at_hand(&ids)?;
        for signer in &signers {
            self.sign(&**signer)?;
        }
        Ok(signers.len())
    }

    /// Takes over the signatures of another copy of the same proposal.
    ///
    /// # Errors
    /// [`CeremonyError::Different`] when it is not the same.
    pub fn merge(&mut self, other: &Proposal) -> Result<(), CeremonyError> {
        let body = |root: &Option<RoleDraft<Root>>| root.as_ref().map(|root| root.body().clone());
        let roles = |all: &BTreeMap<String, ProposedRole>| -> Vec<_> {
            let roles = all.iter();
            roles
                .map(|(role, file)| {
                    (
                        role.clone(),
                        file.previous.clone(),
                        file.draft.body().clone(),
                    )
                })
                .collect()
        };
        let is_same = self.previous_root == other.previous_root
            && body(&self.root) == body(&other.root)
            && roles(&self.roles) == roles(&other.roles);
        if !is_same {
            return Err(CeremonyError::Different {
                place: other.place.clone(),
                first: self.place.clone(),
            });
        }
        if let (Some(mine), Some(theirs)) = (&mut self.root, &other.root) {
            mine.absorb(theirs);
        }
        for (role, file) in &mut self.roles {
            if let Some(theirs) = other.roles.get(role) {
                file.draft.absorb(&theirs.draft);
            }
        }
        Ok(())
    }

    /// Returns what is missing until devices would follow: nothing when it can be published.
    pub fn shortfalls(&self) -> Vec<Shortfall> {
        let mut shortfalls = Vec::new();
        for (role, version) in self.files() {
            let old = self.old_judge(&role).filter(|_| role == "root");
            for judge in old.into_iter().chain(self.new_judge(&role)) {
                let signed = self.signers(&role, &judge);
                let found = signed.len() as u64;
                if found < judge.keys.threshold.max(1) {
                    let ids = judge.keys.keyids.iter();
                    shortfalls.push(Shortfall {
                        file: format!("{role} {version}"),
                        judge: judge.name,
                        expected: judge.keys.threshold,
                        found,
                        missing: ids.filter(|id| !signed.contains(id)).cloned().collect(),
                    });
                }
            }
        }
        shortfalls
    }

    /// Refuses to go on while something is missing.
    ///
    /// # Errors
    /// [`CeremonyError::TooFewSignatures`].
    pub fn expect_complete(&self) -> Result<(), CeremonyError> {
        let shortfalls = self.shortfalls();
        if shortfalls.is_empty() {
            return Ok(());
        }
        Err(CeremonyError::TooFewSignatures {
            place: self.place.clone(),
            shortfalls,
        })
    }

    pub(crate) fn place(&self) -> &str {
        &self.place
    }
}

impl Proposal {
    /// Refuses what does not fit together, so that nobody is asked to sign it.
    fn check(&self) -> Result<(), CeremonyError> {
        if let Some(root) = &self.root {
            let (expected, found) = (self.old_root.version.saturating_add(1), root.body().version);
            if expected != found {
                let behind = format!(
                    "root {expected}, the one behind root {}",
                    self.old_root.version
                );
                return Err(self.malformed(&behind, format!("root {found}")));
            }
        } else if self.roles.is_empty() {
            return Err(self.malformed("a root or a role", "neither".to_owned()));
        }
        for (role, file) in &self.roles {
            let (Some(judge), Some(_)) = (self.old_or_new_judge(role), self.new_judge(role)) else {
                let expected = "targets, and roles that it delegates to";
                return Err(self.malformed(expected, format!("{role:?}")));
            };
            self.check_previous(role, file, &judge)?;
            self.check_kept(role, file)?;
        }
        Ok(())
    }

    /// The file before has to be one that devices trust.
    fn check_previous(
        &self,
        role: &str,
        file: &ProposedRole,
        judge: &Judge,
    ) -> Result<(), CeremonyError> {
        let Some(bytes) = &file.previous else {
            return Ok(());
        };
        let previous = parse_draft::<Targets>(&self.place, role, bytes)?;
        if previous.satisfies(&judge.keys, judge.table) {
            return Ok(());
        }
        let expected = format!(
            "{role} as it was, signed by the keys that {} names",
            judge.name
        );
        Err(self.malformed(&expected, "too few signatures".to_owned()))
    }

    /// What is signed anew keeps what it says, but for its time and, in `targets`, its delegations.
    fn check_kept(&self, role: &str, file: &ProposedRole) -> Result<(), CeremonyError> {
        let new = file.draft.body();
        let version = file.old.as_ref().map_or(0, |old| old.version);
        if new.version <= version {
            let expected = format!("{role} above {version}");
            return Err(self.malformed(&expected, format!("{role} {}", new.version)));
        }
        let mut kept = file.old.clone().unwrap_or_else(|| Targets {
            targets: BTreeMap::new(),
            delegations: None,
            offline_grace_days: None,
            ..new.clone()
        });
        kept.version = new.version;
        kept.expires = new.expires;
        kept.issued = new.issued;
        if role == "targets" {
            kept.delegations.clone_from(&new.delegations);
        }
        if kept == *new {
            return Ok(());
        }
        let expected = format!("{role} with the targets, delegations and grace that it had");
        Err(self.malformed(&expected, "others".to_owned()))
    }

    fn refuse_odd_signatures(&self) -> Result<(), CeremonyError> {
        for (role, version) in self.files() {
            let signers: Vec<&KeyId> = match (role.as_str(), &self.root) {
                ("root", Some(root)) => root.signers().collect(),
                _ => {
                    let file = self.roles.get(&role).into_iter();
                    file.flat_map(|file| file.draft.signers()).collect()
                }
            };
            for id in signers {
                let keys = self.keys_named(&role, id);
                if keys.is_empty() {
                    return Err(self.unknown(format!("{} over {role} {version}", short(id))));
                }
                if !keys.iter().any(|key| self.is_signed_by(&role, id, key)) {
                    return Err(CeremonyError::Tampered {
                        place: self.place.clone(),
                        key: id.clone(),
                        role,
                        version,
                    });
                }
            }
        }
        Ok(())
    }

    fn is_signed_by(&self, role: &str, id: &KeyId, key: &PublicKey) -> bool {
        match (role, &self.root) {
            ("root", Some(root)) => root.is_signed_by(id, key),
            _ => {
                let file = self.roles.get(role);
                file.is_some_and(|file| file.draft.is_signed_by(id, key))
            }
        }
    }

    fn signers(&self, role: &str, judge: &Judge) -> Vec<KeyId> {
        match (role, &self.root) {
            ("root", Some(root)) => root.valid_signers(&judge.keys, judge.table),
            _ => self.roles.get(role).map_or_else(Vec::new, |file| {
                file.draft.valid_signers(&judge.keys, judge.table)
            }),
        }
    }

    /// Returns the keys that `id` names for a role, as it is and as it will be.
    fn keys_named(&self, role: &str, id: &KeyId) -> Vec<PublicKey> {
        let judges = [self.old_judge(role), self.new_judge(role)];
        let named = judges.into_iter().flatten();
        let named = named.filter(|judge| judge.keys.keyids.contains(id));
        named
            .filter_map(|judge| judge.table.get(id).map(PublicKey::from_json))
            .collect()
    }

    fn old_judge(&self, role: &str) -> Option<Judge<'_>> {
        let targets = self.roles.get("targets");
        let delegations = targets.and_then(|file| file.old.as_ref()?.delegations.as_ref());
        judge(&self.old_root, delegations, role, "")
    }

    fn new_judge(&self, role: &str) -> Option<Judge<'_>> {
        let targets = self.roles.get("targets");
        let delegations = targets.and_then(|file| file.draft.body().delegations.as_ref());
        judge(self.new_root(), delegations, role, "new ")
    }

    fn old_or_new_judge(&self, role: &str) -> Option<Judge<'_>> {
        self.old_judge(role).or_else(|| self.new_judge(role))
    }

    fn malformed(&self, expected: &str, found: String) -> CeremonyError {
        CeremonyError::Malformed {
            place: self.place.clone(),
            expected: expected.to_owned(),
            found,
        }
    }

    fn unknown(&self, found: String) -> CeremonyError {
        let files = self.files().into_iter();
        let roles: Vec<_> = files
            .map(|(role, version)| format!("{role} {version}"))
            .collect();
        CeremonyError::UnknownKey {
            place: self.place.clone(),
            expected: roles.join(", "),
            found,
        }
    }
}

/// Returns the keys of a role: by the root for the four, else by the targets role.
fn judge<'a>(
    root: &'a Root,
    delegations: Option<&'a Delegations>,
    role: &str,
    age: &str,
) -> Option<Judge<'a>> {
    if let Some(keys) = root.roles.get(role) {
        return Some(Judge {
            name: format!("root {}", root.version),
            keys: keys.clone(),
            table: &root.keys,
        });
    }
    let delegations = delegations?;
    Some(Judge {
        name: format!("the {age}targets role"),
        keys: delegations.role(role)?.role_keys(),
        table: &delegations.keys,
    })
}

fn parse_draft<T: release_format::RoleBody>(
    place: &str,
    role: &str,
    bytes: &[u8],
) -> Result<RoleDraft<T>, CeremonyError> {
    let limit = TrustLimits::default().targets_bytes;
    RoleDraft::parse(role, bytes, limit).map_err(|error| malformed(place, &error))
}

fn malformed(place: &str, error: &TrustError) -> CeremonyError {
    CeremonyError::Malformed {
        place: place.to_owned(),
        expected: "metadata that devices accept".to_owned(),
        found: error.to_string(),
    }
}

/// The version of the file.
const SCHEMA: u64 = 1;
