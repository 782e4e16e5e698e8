use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand};
use publisher::SignerSource;
use release_format::TenantName;

/// What is done with keys.
#[derive(Debug, Subcommand)]
pub(crate) enum KeysVerb {
    /// Make keys: an encrypted private half, and a public half to hand out
    ///
    /// Writes NAME.pem (PKCS#8, which openssl reads) and NAME.pub. The passphrase is taken from
    /// SATCHEL_PASSPHRASE or --passphrase-file, or asked for.
    Generate(GenerateArguments),
    /// List the keys of every role, and which of them are at hand
    List(ListKeysArguments),
    /// Give a role new keys in the place of those that it has
    ///
    /// Makes the new keys in the key folder, or takes public ones by --new. What the old keys
    /// signed is signed anew at once.
    Rotate(RotateArguments),
    /// Take a key away from every role that has it
    Revoke(RevokeArguments),
    /// Let a tenant sign its own packs, with keys for content and others for operations
    ///
    /// Adds keys to a tenant that is there. Makes keys in the key folder for a new tenant unless
    /// public ones are given.
    Delegate(DelegateArguments),
}

/// The steps of a ceremony.
#[derive(Debug, Subcommand)]
pub(crate) enum RootVerb {
    /// Write the next root, and whatever has to be signed with it, as a file to be signed
    ///
    /// Without a change it renews the root.
    Propose(ProposeArguments),
    /// Tell in plain words what a proposal changes, then sign it; needs neither repository nor network
    Sign(SignArguments),
    /// Bring the signatures of several copies of a proposal together
    Merge(MergeArguments),
    /// Publish a proposal that enough holders have signed, by the old root and by the new one
    Publish(PublishRootArguments),
}

/// Which keys sign.
#[derive(Debug, Default, Args)]
pub(crate) struct SigningArguments {
    /// Where the private keys are (default `REPO.keys`)
    #[arg(long, value_name = "DIR")]
    pub(crate) keys: Option<PathBuf>,
    /// One more key: file:PATH, env:VARIABLE, or exec:PROGRAM ARGUMENT... for a hook; repeatable
    #[arg(long = "signer", value_name = "SIGNER")]
    pub(crate) signers: Vec<SignerSource>,
    /// A file whose first line is the passphrase of encrypted keys
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct GenerateArguments {
    /// What the keys are called, as a rule by their role or holder
    #[arg(required = true, value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// Where the keys are kept
    #[arg(long, value_name = "DIR", default_value = "keys")]
    pub(crate) keys: PathBuf,
    /// A file whose first line is the passphrase to encrypt with
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Do not encrypt: for machines that sign by themselves
    #[arg(long, conflicts_with = "passphrase_file")]
    pub(crate) plain: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ListKeysArguments {
    /// The repository
    pub(crate) repo: PathBuf,
    /// Where the private keys are (default `REPO.keys`)
    #[arg(long, value_name = "DIR")]
    pub(crate) keys: Option<PathBuf>,
}

/// How a change of keys comes into force.
#[derive(Debug, Args)]
pub(crate) struct GovernArguments {
    #[command(flatten)]
    pub(crate) signing: SigningArguments,
    /// Write the change as a proposal for `root sign`, and publish nothing
    #[arg(long, value_name = "FILE")]
    pub(crate) propose: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct RotateArguments {
    /// The repository
    pub(crate) repo: PathBuf,
    /// The role: root, targets, snapshot, timestamp, TENANT or TENANT-operations
    pub(crate) role: String,
    /// The beginning of the id of a key that leaves (default: all of the role); repeatable
    #[arg(long, value_name = "KEY")]
    pub(crate) old: Vec<String>,
    /// A public key that joins (default: one is made for each that leaves); repeatable
    #[arg(long, value_name = "FILE")]
    pub(crate) new: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) govern: GovernArguments,
}

#[derive(Debug, Args)]
pub(crate) struct RevokeArguments {
    /// The repository
    pub(crate) repo: PathBuf,
    /// The beginning of the key's id
    pub(crate) key: String,
    /// A public key that takes its place, needed where too few would be left
    #[arg(long, value_name = "FILE")]
    pub(crate) new: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) govern: GovernArguments,
}

#[derive(Debug, Args)]
pub(crate) struct DelegateArguments {
    /// The repository
    pub(crate) repo: PathBuf,
    /// The tenant: the part of its packs' names before the slash
    pub(crate) tenant: TenantName,
    /// A public key that signs the tenant's catalogues; repeatable
    #[arg(long, value_name = "FILE")]
    pub(crate) content_key: Vec<PathBuf>,
    /// A public key that signs the tenant's rollouts; repeatable
    #[arg(long, value_name = "FILE")]
    pub(crate) operations_key: Vec<PathBuf>,
    /// How many content keys have to sign
    #[arg(long, value_name = "N")]
    pub(crate) threshold: Option<u64>,
    /// How many operations keys have to sign
    #[arg(long, value_name = "N")]
    pub(crate) operations_threshold: Option<u64>,
    /// Remove the tenant: devices believe nothing more of what it signs
    #[arg(long, conflicts_with_all = ["content_key", "operations_key", "threshold", "operations_threshold"])]
    pub(crate) remove: bool,
    #[command(flatten)]
    pub(crate) govern: GovernArguments,
}

#[derive(Debug, Args)]
pub(crate) struct ProposeArguments {
    /// The repository
    pub(crate) repo: PathBuf,
    /// The proposal to write
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// A public key that joins a role; repeatable
    #[arg(long, value_name = "ROLE=FILE")]
    pub(crate) add: Vec<Assigned<PathBuf>>,
    /// The beginning of the id of a key that leaves a role; repeatable
    #[arg(long, value_name = "ROLE=KEY")]
    pub(crate) remove: Vec<Assigned<String>>,
    /// How many keys of a role have to sign; repeatable
    #[arg(long, value_name = "ROLE=N")]
    pub(crate) threshold: Vec<Assigned<u64>>,
    /// For how many days the root is good
    #[arg(long, value_name = "DAYS", default_value_t = 1095, value_parser = clap::value_parser!(u32).range(1..=3660))]
    pub(crate) days: u32,
}

#[derive(Debug, Args)]
pub(crate) struct SignArguments {
    /// The proposal; the signature is added to it
    pub(crate) proposal: PathBuf,
    /// Where the private keys are; those that may sign do
    #[arg(long, value_name = "DIR")]
    pub(crate) keys: Option<PathBuf>,
    /// A key: file:PATH, env:VARIABLE, or exec:PROGRAM ARGUMENT... for a hook; repeatable
    #[arg(long = "signer", value_name = "SIGNER")]
    pub(crate) signers: Vec<SignerSource>,
    /// A file whose first line is the passphrase of encrypted keys
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// The root that you trust, as you have it: the proposal has to follow it
    #[arg(long, value_name = "ROOT.json")]
    pub(crate) against: Option<PathBuf>,
    /// Only tell what changes, and who has signed
    #[arg(long, conflicts_with_all = ["keys", "signers", "yes"])]
    pub(crate) show: bool,
    /// Sign without asking, once the change was read with --show
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct MergeArguments {
    /// Copies of one proposal
    #[arg(required = true, value_name = "PROPOSAL")]
    pub(crate) proposals: Vec<PathBuf>,
    /// The proposal to write, with the signatures of all
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct PublishRootArguments {
    /// The repository
    pub(crate) repo: PathBuf,
    /// The proposal
    pub(crate) proposal: PathBuf,
    #[command(flatten)]
    pub(crate) signing: SigningArguments,
}

/// Something that a role is given: `ROLE=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Assigned<T> {
    pub(crate) role: String,
    pub(crate) value: T,
}

impl<T: FromStr> FromStr for Assigned<T>
where
    T::Err: ToString,
{
    type Err = String;

    fn from_str(text: &str) -> Result<Assigned<T>, String> {
        match text.split_once('=') {
            Some((role, value)) if !role.is_empty() && !value.is_empty() => Ok(Assigned {
                role: role.to_owned(),
                value: value.parse().map_err(|error: T::Err| error.to_string())?,
            }),
            _ => Err(format!("expected ROLE=VALUE, found {text:?}")),
        }
    }
}
