use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand, ValueEnum};
use publisher::SignerSource;
use release_format::{
    ChannelName, ClientVersion, DeviceLabels, Label, Mode, PackName, Selectors, Share, TenantName,
    UtcTime,
};

use super::SigningArguments;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct RolloutArguments {
    #[command(subcommand)]
    pub(crate) verb: Option<RolloutVerb>,
    /// The repository
    #[arg(required = true)]
    pub(crate) repo: Option<PathBuf>,
    /// The pack
    #[arg(required = true)]
    pub(crate) pack: Option<PackName>,
    /// The release to offer (default: the one that the channel offers)
    #[arg(long, value_name = "LABEL")]
    pub(crate) release: Option<Label>,
    /// The share of the channel's devices
    #[arg(long)]
    pub(crate) share: Option<Share>,
    /// The channel
    #[arg(long, default_value = "stable")]
    pub(crate) channel: ChannelName,
    /// Only devices with this label, such as site=nairobi; several values of one key add up, several
    /// keys must all fit; repeatable
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) select: Vec<Pair>,
    /// What devices do with it
    #[arg(long, value_enum, default_value_t)]
    pub(crate) mode: Way,
    /// From when on, such as 2026-12-01T06:00:00Z, by a time that devices trust
    #[arg(long, value_name = "TIME")]
    pub(crate) starts: Option<UtcTime>,
    /// The oldest client that the release is for, such as 0.2.0; older ones get the release before
    #[arg(long, value_name = "VERSION")]
    pub(crate) min_client: Option<ClientVersion>,
    /// A flag of the content and the share of devices that show it, such as new-quiz=10%; repeatable
    #[arg(long, value_name = "NAME=SHARE")]
    pub(crate) flag: Vec<FlagShare>,
    /// Let a halted rollout go on
    #[arg(long, conflicts_with_all = ["release", "select", "mode", "starts", "min_client", "flag", "share"])]
    pub(crate) resume: bool,
    /// Write the change as an approval for the holders of a guarded channel's keys, and publish nothing
    #[arg(long, value_name = "FILE")]
    pub(crate) propose: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) signing: SigningArguments,
}

/// What is done with a plan.
#[derive(Debug, Subcommand)]
pub(crate) enum RolloutVerb {
    /// Say where a channel stands in a plan, and what `apply` would change; changes nothing
    Plan(PlanArguments),
    /// Bring a channel to its step of a plan; --next goes on to the following one
    Apply(ApplyPlanArguments),
}

#[derive(Debug, Args)]
pub(crate) struct PlanArguments {
    /// The repository
    pub(crate) repo: PathBuf,
    /// The plan, such as rollout.toml
    #[arg(value_name = "PLAN.toml")]
    pub(crate) plan: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct ApplyPlanArguments {
    /// The repository
    pub(crate) repo: PathBuf,
    /// The plan, such as rollout.toml
    #[arg(value_name = "PLAN.toml")]
    pub(crate) plan: PathBuf,
    /// Go on to the following step
    #[arg(long)]
    pub(crate) next: bool,
    /// Write the change as an approval for the holders of a guarded channel's keys, and publish nothing
    #[arg(long, value_name = "FILE")]
    pub(crate) propose: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) signing: SigningArguments,
}

#[derive(Debug, Args)]
pub(crate) struct PromoteArguments {
    /// The repository
    pub(crate) repo: PathBuf,
    /// The pack
    pub(crate) pack: PackName,
    /// The release
    #[arg(long, value_name = "LABEL")]
    pub(crate) release: Label,
    /// The channel that is to offer it
    #[arg(long, value_name = "CHANNEL")]
    pub(crate) to: ChannelName,
    /// The channel that offers it to all of its devices (default: any that does)
    #[arg(long, value_name = "CHANNEL")]
    pub(crate) from: Option<ChannelName>,
    /// The share of the devices of the channel that is to offer it
    #[arg(long, default_value = "100%")]
    pub(crate) share: Share,
    /// Write the change as an approval for the holders of a guarded channel's keys, and publish nothing
    #[arg(long, value_name = "FILE")]
    pub(crate) propose: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) signing: SigningArguments,
}

#[derive(Debug, Args)]
pub(crate) struct HaltArguments {
    /// The repository
    pub(crate) repo: PathBuf,
    /// The pack
    pub(crate) pack: PackName,
    /// The channel
    #[arg(long, default_value = "stable")]
    pub(crate) channel: ChannelName,
    /// Why, in one line
    #[arg(long, default_value = "")]
    pub(crate) reason: String,
    /// Write the change as an approval for the holders of a guarded channel's keys, and publish nothing
    #[arg(long, value_name = "FILE")]
    pub(crate) propose: Option<PathBuf>,
    /// With --propose, the approval of a step that is not published yet: the halt is signed together
    /// with it, and lies ready for as long as nothing else follows on that step
    #[arg(long, value_name = "FILE", requires = "propose")]
    pub(crate) after: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) signing: SigningArguments,
}

#[derive(Debug, Args)]
pub(crate) struct WithdrawArguments {
    /// The repository
    pub(crate) repo: PathBuf,
    /// The pack
    pub(crate) pack: PackName,
    /// The release
    #[arg(long, value_name = "LABEL")]
    pub(crate) release: Label,
    /// A channel whose devices leave it; repeatable (default: all of them)
    #[arg(long, value_name = "CHANNEL")]
    pub(crate) channel: Vec<ChannelName>,
    /// Where devices go back to (default: what each channel offered before)
    #[arg(long, value_name = "LABEL")]
    pub(crate) fallback: Option<Label>,
    /// Why, in one line
    #[arg(long, default_value = "")]
    pub(crate) reason: String,
    /// Devices leave it even where they are pinned to it
    #[arg(long)]
    pub(crate) security: bool,
    /// Write the change as an approval for the holders of a guarded channel's keys, and publish nothing
    #[arg(long, value_name = "FILE")]
    pub(crate) propose: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) signing: SigningArguments,
}

#[derive(Debug, Args)]
pub(crate) struct LabelArguments {
    /// The library
    pub(crate) library: PathBuf,
    /// Labels to set, such as site=nairobi; all are shown without any
    #[arg(value_name = "KEY=VALUE")]
    pub(crate) labels: Vec<Pair>,
    /// A label to take away; repeatable
    #[arg(long, value_name = "KEY")]
    pub(crate) remove: Vec<String>,
}

/// What devices do with a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Way {
    /// They switch to it, on trial
    #[default]
    Standard,
    /// They rebuild and check it, and never switch to it
    Shadow,
}

impl From<Way> for Mode {
    fn from(way: Way) -> Mode {
        match way {
            Way::Standard => Mode::Standard,
            Way::Shadow => Mode::Shadow,
        }
    }
}

/// A label of a device: `site=nairobi`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) key: String,
    pub(crate) value: String,
}

impl FromStr for Pair {
    type Err = String;

    fn from_str(text: &str) -> Result<Pair, String> {
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        // The one place that knows what a label is.
        let checked = DeviceLabels::default().set(key, value);
        checked.map_err(|error| error.to_string())?;
        Ok(Pair {
            key: key.to_owned(),
            value: value.to_owned(),
        })
    }
}

/// A flag and its share: `new-quiz=10%`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FlagShare {
    pub(crate) name: String,
    pub(crate) share: Share,
}

impl FromStr for FlagShare {
    type Err = String;

    fn from_str(text: &str) -> Result<FlagShare, String> {
        let (name, share) = text
            .split_once('=')
            .ok_or_else(|| format!("expected NAME=SHARE such as new-quiz=10%, found {text:?}"))?;
        let share = Share::parse(share).map_err(|error| error.to_string())?;
        let name = Pair::from_str(&format!("{name}=x"))?.key;
        Ok(FlagShare { name, share })
    }
}

/// Gives a device these labels.
pub(crate) fn set_labels(labels: &mut DeviceLabels, pairs: &[Pair]) -> Result<(), String> {
    for pair in pairs {
        let set = labels.set(&pair.key, &pair.value);
        set.map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Returns which devices the labels choose.
pub(crate) fn selectors(pairs: &[Pair]) -> Result<Selectors, String> {
    let mut select = Selectors::default();
    for pair in pairs {
        let added = select.add(&pair.key, &pair.value);
        added.map_err(|error| error.to_string())?;
    }
    Ok(select)
}

/// The steps of an approval.
#[derive(Debug, Subcommand)]
pub(crate) enum ApprovalVerb {
    /// Tell in plain words what an approval would publish, then sign it; needs neither repository nor
    /// network
    Sign(SignApprovalArguments),
    /// Bring the signatures of several copies of an approval together
    Merge(MergeApprovalArguments),
    /// Publish a change that enough holders have signed
    Publish(PublishApprovalArguments),
}

#[derive(Debug, Args)]
pub(crate) struct SignApprovalArguments {
    /// The approval, which is signed in place
    pub(crate) approval: PathBuf,
    /// Only tell what it would publish, and who has signed
    #[arg(long)]
    pub(crate) show: bool,
    /// The key to sign with: file:PATH, env:VARIABLE, or exec:PROGRAM ARGUMENT...; repeatable
    #[arg(
        long = "signer",
        value_name = "SIGNER",
        required_unless_present = "show"
    )]
    pub(crate) signers: Vec<SignerSource>,
    /// A file whose first line is the passphrase of encrypted keys
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct MergeApprovalArguments {
    /// The approval that gets the signatures
    pub(crate) approval: PathBuf,
    /// Copies of it
    #[arg(required = true)]
    pub(crate) others: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct PublishApprovalArguments {
    /// The repository
    pub(crate) repo: PathBuf,
    /// The approval
    pub(crate) approval: PathBuf,
    #[command(flatten)]
    pub(crate) signing: SigningArguments,
}

#[derive(Debug, Args)]
pub(crate) struct GuardArguments {
    /// The repository
    pub(crate) repo: PathBuf,
    /// The tenant
    pub(crate) tenant: TenantName,
    /// The channel
    #[arg(long, default_value = "stable")]
    pub(crate) channel: ChannelName,
    /// A public key that may approve; repeatable
    #[arg(long = "key", value_name = "FILE", required = true)]
    pub(crate) approvers: Vec<PathBuf>,
    /// How many of them have to
    #[arg(long, value_name = "N")]
    pub(crate) threshold: u64,
    /// Write the guard as an approval that the holders sign where their private keys are, and publish
    /// nothing; without it, enough of their keys have to be at hand
    #[arg(long, value_name = "FILE")]
    pub(crate) propose: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) signing: SigningArguments,
}
