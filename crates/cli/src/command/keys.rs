//! Keys: made, listed, replaced, taken away, and given to tenants.

use std::path::{Path, PathBuf};

use publisher::{
    CeremonyError, Governed, KeyStore, Proposal, PublishError, Repository, RoleReport, TrustChange,
    read_public_key,
};
use release_format::{PublicKey, Signer, UtcTime};
use serde::Serialize;

use crate::arguments::{
    DelegateArguments, GenerateArguments, GovernArguments, KeysVerb, ListKeysArguments,
    RevokeArguments, RotateArguments,
};
use crate::command::custody::{key_store, new_passphrase, signing_keys};
use crate::command::place;
use crate::command::proposed::{tell, write_proposal};
use crate::command::publish::signing_time;
use crate::failure::{Exit, Failure};
use crate::output::{Output, Table};

/// Does what is asked with keys.
pub(crate) fn keys(verb: &KeysVerb, output: Output) -> Result<Exit, Failure> {
    match verb {
        KeysVerb::Generate(arguments) => generate(arguments, output),
        KeysVerb::List(arguments) => list(arguments, output),
        KeysVerb::Rotate(arguments) => rotate(arguments, output),
        KeysVerb::Revoke(arguments) => revoke(arguments, output),
        KeysVerb::Delegate(arguments) => delegate(arguments, output),
    }
}

#[derive(Serialize)]
struct GenerateDocument {
    keys: Vec<MadeKeyDocument>,
}

#[derive(Serialize)]
struct MadeKeyDocument {
    name: String,
    key: String,
    /// The private half.
    path: PathBuf,
    /// The public half.
    public: PathBuf,
    encrypted: bool,
}

fn generate(arguments: &GenerateArguments, output: Output) -> Result<Exit, Failure> {
    let mut store = KeyStore::folder(&arguments.keys);
    if !arguments.plain {
        let passphrase = new_passphrase(arguments.passphrase_file.as_deref())?;
        store = store.with_passphrase(passphrase.as_str());
    }
    let mut made = Vec::new();
    for name in &arguments.names {
        let key = store.generate(name)?;
        made.push(MadeKeyDocument {
            name: name.clone(),
            key: id_of(key.public_key()),
            path: store.path_of(name),
            public: store.public_path_of(name),
            encrypted: !arguments.plain,
        });
    }
    let document = GenerateDocument { keys: made };
    output.result(&document, |out| {
        let mut table = Table::new(&["KEY", "PRIVATE", "PUBLIC"]);
        for key in &document.keys {
            let path = |path: &Path| path.display().to_string();
            table.row([key.key.clone(), path(&key.path), path(&key.public)]);
        }
        table.write(out)
    })?;
    Ok(Exit::Done)
}

#[derive(Serialize)]
struct ListKeysDocument<'a> {
    repository: &'a Path,
    roles: Vec<RoleDocument>,
}

#[derive(Serialize)]
struct RoleDocument {
    role: String,
    threshold: u64,
    version: Option<u64>,
    expires: Option<String>,
    paths: Vec<String>,
    keys: Vec<RoleKeyDocument>,
}

#[derive(Serialize)]
struct RoleKeyDocument {
    key: String,
    /// The private half, where it is in the key folder.
    path: Option<PathBuf>,
}

fn list(arguments: &ListKeysArguments, output: Output) -> Result<Exit, Failure> {
    let store = key_store(&arguments.repo, arguments.keys.as_deref(), None)?;
    let public = store.public_keys()?;
    let held = |id: &str| {
        let mut named = public.iter();
        let (name, _) = named.find(|(name, key)| store.has(name) && id_of(key) == id)?;
        Some(store.path_of(name))
    };
    let roles = place::open(&arguments.repo)?.role_reports()?;
    let document = ListKeysDocument {
        repository: &arguments.repo,
        roles: roles
            .into_iter()
            .map(|report| RoleDocument {
                role: report.role,
                threshold: report.keys.threshold,
                version: report.version,
                expires: report.expires.map(|at| at.to_string()),
                paths: report.paths,
                keys: ids(&report.keys.keyids)
                    .into_iter()
                    .map(|key| RoleKeyDocument {
                        path: held(&key),
                        key,
                    })
                    .collect(),
            })
            .collect(),
    };
    output.result(&document, |out| {
        let mut table = Table::new(&["ROLE", "NEEDS", "KEY", "AT HAND", "EXPIRES"]);
        for role in &document.roles {
            for (number, key) in role.keys.iter().enumerate() {
                let first = |text: String| if number == 0 { text } else { String::new() };
                let path = key.path.as_ref().map(|path| path.display().to_string());
                table.row([
                    first(role.role.clone()),
                    first(format!("{} of {}", role.threshold, role.keys.len())),
                    key.key.chars().take(SHOWN_DIGITS).collect(),
                    path.unwrap_or_else(|| "no".to_owned()),
                    first(
                        role.expires
                            .clone()
                            .unwrap_or_else(|| "nothing signed".to_owned()),
                    ),
                ]);
            }
        }
        table.write(out)
    })?;
    Ok(Exit::Done)
}

fn rotate(arguments: &RotateArguments, output: Output) -> Result<Exit, Failure> {
    let govern = Govern::open(&arguments.repo, &arguments.govern)?;
    let role = &arguments.role;
    let report = govern.report(role)?;
    let old = if arguments.old.is_empty() {
        ids(&report.keys.keyids)
    } else {
        arguments.old.clone()
    };
    let mut made = Vec::new();
    let new = if arguments.new.is_empty() {
        old.iter()
            .map(|_| govern.make(role, &mut made))
            .collect::<Result<_, _>>()?
    } else {
        public_keys(&arguments.new)?
    };
    let change = TrustChange {
        add: new.into_iter().map(|key| (role.clone(), key)).collect(),
        remove: old.into_iter().map(|id| (role.clone(), id)).collect(),
        ..TrustChange::default()
    };
    govern.apply(&change, made, output)
}

fn revoke(arguments: &RevokeArguments, output: Output) -> Result<Exit, Failure> {
    let govern = Govern::open(&arguments.repo, &arguments.govern)?;
    let mut change = TrustChange::default();
    let new = arguments.new.as_deref().map(read_public_key).transpose()?;
    for report in govern.repository.role_reports()? {
        let mut keys = report.keys.keyids.iter();
        if !keys.any(|id| id.as_str().starts_with(&arguments.key)) {
            continue;
        }
        if let Some(new) = &new {
            change.add.push((report.role.clone(), new.clone()));
        }
        change.remove.push((report.role, arguments.key.clone()));
    }
    if change.remove.is_empty() {
        let message = format!(
            "expected the beginning of the id of a key that a role has, found {:?}",
            arguments.key
        );
        return Err(Failure::new(Exit::Other, "unknown-key", message)
            .with_remedy("`satchel keys list` lists the keys."));
    }
    govern.apply(&change, Vec::new(), output)
}

fn delegate(arguments: &DelegateArguments, output: Output) -> Result<Exit, Failure> {
    let govern = Govern::open(&arguments.repo, &arguments.govern)?;
    let mut change = TrustChange::default();
    let mut made = Vec::new();
    if arguments.remove {
        change.leave.push(arguments.tenant.clone());
        return govern.apply(&change, made, output);
    }
    let given = [&arguments.content_key, &arguments.operations_key];
    let thresholds = [arguments.threshold, arguments.operations_threshold];
    let roles = arguments
        .tenant
        .roles()
        .into_iter()
        .zip(given)
        .zip(thresholds);
    for (((role, _), given), threshold) in roles {
        let mut keys = public_keys(given)?;
        if keys.is_empty() && govern.report(&role).is_err() {
            keys.push(govern.make(&role, &mut made)?);
        }
        let keys = keys.into_iter().map(|key| (role.clone(), key));
        change.add.extend(keys);
        change
            .thresholds
            .extend(threshold.map(|threshold| (role, threshold)));
    }
    govern.apply(&change, made, output)
}

/// A repository whose keys change, and the keys at hand for that.
struct Govern<'a> {
    repo: &'a Path,
    repository: Repository,
    keys: KeyStore,
    propose: Option<&'a Path>,
    now: UtcTime,
}

#[derive(Serialize)]
struct GovernDocument<'a> {
    repository: &'a Path,
    root: u64,
    files: Vec<FileDocument>,
    seamless: bool,
    generated_keys: Vec<String>,
}

#[derive(Serialize)]
struct FileDocument {
    role: String,
    version: u64,
}

impl<'a> Govern<'a> {
    fn open(repo: &'a Path, arguments: &'a GovernArguments) -> Result<Govern<'a>, Failure> {
        Ok(Govern {
            repo,
            repository: place::open(repo)?,
            keys: signing_keys(repo, &arguments.signing)?,
            propose: arguments.propose.as_deref(),
            now: signing_time()?,
        })
    }

    fn report(&self, role: &str) -> Result<RoleReport, Failure> {
        let reports = self.repository.role_reports()?;
        let found = reports.into_iter().find(|report| report.role == role);
        found.ok_or_else(|| {
            let message = format!("expected a role of the repository, found {role:?}");
            Failure::new(Exit::Other, "unknown-role", message)
                .with_remedy("`satchel keys list` lists the roles.")
        })
    }

    /// Makes one more key of a role in the key folder.
    fn make(&self, role: &str, made: &mut Vec<String>) -> Result<PublicKey, Failure> {
        let name = self.keys.free_name(role);
        let key = self.keys.generate(&name)?;
        made.push(name);
        Ok(key.public_key().clone())
    }

    /// Publishes the change, or writes it as a proposal.
    fn apply(
        &self,
        change: &TrustChange,
        made: Vec<String>,
        output: Output,
    ) -> Result<Exit, Failure> {
        if !made.is_empty() {
            let folder = self.keys.path().display();
            output.message(format!("made keys in {folder}: {}", made.join(", ")));
        }
        let proposal = match self.repository.propose(change, self.now) {
            Err(PublishError::Ceremony(CeremonyError::Nothing)) => {
                output.message("nothing to change: everything is so already");
                return Ok(Exit::Done);
            }
            proposal => proposal?,
        };
        match self.propose {
            Some(path) => {
                write_proposal(path, &proposal)?;
                tell(path, &proposal, &[], output)?;
                Ok(Exit::Done)
            }
            None => self.publish(proposal, made, output),
        }
    }

    fn publish(
        &self,
        mut proposal: Proposal,
        made: Vec<String>,
        output: Output,
    ) -> Result<Exit, Failure> {
        proposal.sign_with(&self.keys)?;
        let governed = self
            .repository
            .publish_proposal(&proposal, &self.keys, self.now)?;
        for line in proposal.describe() {
            output.detail(line);
        }
        tell_governed(self.repo, &governed, made, output)?;
        Ok(Exit::Done)
    }
}

/// Tells what was published.
pub(super) fn tell_governed(
    repo: &Path,
    governed: &Governed,
    generated_keys: Vec<String>,
    output: Output,
) -> Result<(), Failure> {
    let files = governed.files.iter();
    let document = GovernDocument {
        repository: repo,
        root: governed.root,
        files: files
            .map(|(role, version)| FileDocument {
                role: role.clone(),
                version: *version,
            })
            .collect(),
        seamless: governed.is_seamless,
        generated_keys,
    };
    if !governed.is_seamless {
        output.message(
            "An old key was not at hand: devices that asked in between were refused, and follow now.",
        );
    }
    output.result(&document, |out| {
        for file in &document.files {
            writeln!(out, "published {} {}", file.role, file.version)?;
        }
        Ok(())
    })
}

fn public_keys(paths: &[PathBuf]) -> Result<Vec<PublicKey>, Failure> {
    let keys: Result<_, PublishError> = paths.iter().map(|path| read_public_key(path)).collect();
    Ok(keys?)
}

fn ids(keys: &[release_format::KeyId]) -> Vec<String> {
    keys.iter().map(ToString::to_string).collect()
}

fn id_of(key: &PublicKey) -> String {
    key.id().map(|id| id.to_string()).unwrap_or_default()
}

/// As many as errors and proposals show.
const SHOWN_DIGITS: usize = 16;
