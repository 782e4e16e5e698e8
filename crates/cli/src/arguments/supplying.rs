use std::path::PathBuf;

use clap::{Args, Subcommand};
use release_format::{Label, PackName};

use super::governing::SigningArguments;
use super::making::DeltaArguments;

#[derive(Debug, Args)]
pub(crate) struct ExportArguments {
    /// The repository
    pub(crate) repo: PathBuf,
    /// The folder to export to, as a rule on a stick; an older export in it is brought up to date
    pub(crate) to: PathBuf,
    /// A pack to carry; repeatable, and all of them unless given
    #[arg(long = "pack", value_name = "TENANT/NAME")]
    pub(crate) packs: Vec<PackName>,
    /// Carry only the deltas from these releases, or those of the way over others; where there is none, the delta from nothing
    #[arg(
        long,
        value_name = "LABELS",
        value_delimiter = ',',
        conflicts_with = "full"
    )]
    pub(crate) from: Vec<Label>,
    /// Carry the archives as well: what heals damaged devices, and brings any older one up to date
    #[arg(long)]
    pub(crate) full: bool,
    /// Carry the log for auditors as well, which --full does too; no device reads it
    #[arg(long)]
    pub(crate) log: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PruneRepositoryArguments {
    /// The repository
    pub(crate) repo: PathBuf,
    /// Drop the releases of each pack but the newest N, those that a channel offers, and those that
    /// lie on a way between them
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) keep: Option<u64>,
    /// Remove as well what devices may be fetching that asked before the last change
    #[arg(long)]
    pub(crate) now: bool,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) signing: SigningArguments,
}

/// What is done with the deltas of releases that are published.
#[derive(Debug, Subcommand)]
pub(crate) enum DeltasVerb {
    /// Add deltas to a release that is published
    ///
    /// They are built from the repository's own archives, applied once, and listed in a new version of
    /// the pack's catalogue.
    Add(AddDeltasArguments),
    /// Say what a fleet would have downloaded under several policies, and recommend one
    ///
    /// Builds the deltas that no release has, to know their length, and publishes nothing.
    Plan(PlanDeltasArguments),
}

#[derive(Debug, Args)]
pub(crate) struct AddDeltasArguments {
    /// The repository
    pub(crate) repo: PathBuf,
    /// The pack
    pub(crate) pack: PackName,
    /// The releases that the deltas start from
    #[arg(long, value_name = "LABELS", value_delimiter = ',', required = true)]
    pub(crate) from: Vec<Label>,
    /// The release that they lead to (default: the newest that is not withdrawn)
    #[arg(long, value_name = "LABEL")]
    pub(crate) to: Option<Label>,
    #[command(flatten)]
    pub(crate) signing: SigningArguments,
    #[command(flatten)]
    pub(crate) deltas: DeltaArguments,
}

#[derive(Debug, Args)]
pub(crate) struct PlanDeltasArguments {
    /// The repository
    pub(crate) repo: PathBuf,
    /// The pack
    pub(crate) pack: PackName,
    /// A table with a label and a number of devices a line, a comma between them
    #[arg(long, value_name = "FILE.csv")]
    pub(crate) fleet: PathBuf,
    /// The release that the fleet is brought to (default: the newest that is not withdrawn)
    #[arg(long, value_name = "LABEL")]
    pub(crate) to: Option<Label>,
    /// How many bytes of download a byte in the repository has to save
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) worth: u64,
    #[command(flatten)]
    pub(crate) deltas: DeltaArguments,
}
