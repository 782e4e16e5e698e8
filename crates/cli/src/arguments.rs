//! The verbs of `satchel` and their flags: a contract that others script against.

mod governing;
mod https;
mod keeping;
mod making;
mod mirroring;
mod reporting;
mod source;
mod steering;
mod supplying;
mod values;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use release_format::{
    ChannelName, DeviceId, DeviceLabels, Label, Language, PackName, Share, UtcTime,
};

pub(crate) use governing::{
    DelegateArguments, GenerateArguments, GovernArguments, KeysVerb, ListKeysArguments,
    MergeArguments, ProposeArguments, PublishRootArguments, RevokeArguments, RootVerb,
    RotateArguments, SignArguments, SigningArguments,
};
pub(crate) use https::HttpsArguments;
pub(crate) use keeping::{
    HealArguments, HoldArguments, OpenArguments, PackOrVersion, PinArguments, PruneArguments,
    UnholdArguments, UnpinArguments,
};
pub(crate) use making::DeltaArguments;
#[cfg(test)]
pub(crate) use making::{Ability, Strength};
pub(crate) use mirroring::MirrorArguments;
pub(crate) use reporting::{
    CollectArguments, GateArguments, ListReceiptsArguments, ReceiptsVerb, SendReceiptsArguments,
};
pub(crate) use source::SourceArguments;
pub(crate) use steering::{
    ApplyPlanArguments, ApprovalVerb, GuardArguments, HaltArguments, LabelArguments,
    MergeApprovalArguments, Pair, PlanArguments, PromoteArguments, PublishApprovalArguments,
    RolloutArguments, RolloutVerb, SignApprovalArguments, WithdrawArguments, selectors, set_labels,
};
pub(crate) use supplying::{
    AddDeltasArguments, DeltasVerb, ExportArguments, PlanDeltasArguments, PruneRepositoryArguments,
};
pub(crate) use values::{ByteBudget, DeltaChoice, DeviceLabel, NotesFile, PackAt, SeenHead};

/// Delta updates for offline learning: publish course packs, carry them, update them, go back.
#[derive(Debug, Parser)]
#[command(
    name = "satchel",
    version,
    propagate_version = true,
    arg_required_else_help = true,
    after_help = EXIT_CODES
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) output: OutputArguments,
    /// Append what happens to a file, a line of JSON each; - for stderr
    #[arg(long, global = true, value_name = "FILE", env = "SATCHEL_LOG")]
    pub(crate) log_json: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// How a verb tells what it did.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct OutputArguments {
    /// Print one JSON object (one a line for streams) on stdout, errors too
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print no messages and no progress, only results and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Print more about what is being done
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
}

/// What `satchel` does.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Make a new repository and the keys that sign it
    Init(InitArguments),
    /// Publish a folder as the next release of a pack
    ///
    /// Lints the folder, writes its manifest, archives and deltas, signs the metadata, and prints
    /// what each older release will download. The passphrase of encrypted keys is taken from
    /// SATCHEL_PASSPHRASE or --passphrase-file or asked for, the time of the release from
    /// SOURCE_DATE_EPOCH where it is set.
    Publish(PublishArguments),
    /// Say what keeps a folder from being installed everywhere
    Lint(LintArguments),
    /// List a repository's packs
    List(RepositoryArguments),
    /// Show a pack's releases, or one of them with its deltas
    Show(ShowArguments),
    /// Check a repository as a device would, and more; fails on any fault
    Audit(AuditArguments),
    /// Write one page of HTML that tells how a repository stands; it needs no network
    Report(ReportArguments),
    /// Offer a release to a share of a channel's devices, to some of them, or from some day on
    ///
    /// Says all of how the release is offered: what is left out is not so any more, but for the client
    /// and the flags. Devices that have the release keep it. Needs the keys of operations, snapshot and
    /// timestamp, and none that sign content.
    Rollout(RolloutArguments),
    /// Offer in one channel the very release that another one offers to all
    Promote(PromoteArguments),
    /// Offer a release to nobody who does not have it yet
    ///
    /// `rollout --resume` lets it go on.
    Halt(HaltArguments),
    /// Make the devices that have a release go back to the one before
    ///
    /// In every channel of the pack. The release is not offered again. A pinned device stays, unless it
    /// is for --security.
    Withdraw(WithdrawArguments),
    /// Collect the signatures that a change of a guarded channel needs
    #[command(subcommand)]
    Approval(ApprovalVerb),
    /// Let several people approve every change of a channel
    ///
    /// Needs the keys of targets, and enough of those that are to approve: give them with --signer.
    Guard(GuardArguments),
    /// Write what devices need to a stick, or bring an older export on it up to date
    ///
    /// `update --from TO` then works without a network. Without --from and --full, carries every delta
    /// to the releases that are offered, the one for first installs included. What is there already is
    /// not written again; what nothing needs any more is removed at the end. An interrupted export
    /// leaves what was there before usable: run it again.
    Export(ExportArguments),
    /// Remove what nothing in a repository refers to, and drop old releases
    ///
    /// Without --keep needs no keys and drops no release. What devices may be fetching that asked before
    /// the last change is kept until the repository has changed again.
    PruneRepository(PruneRepositoryArguments),
    /// Add deltas to published releases, and plan which ones to have
    #[command(subcommand)]
    Deltas(DeltasVerb),
    /// Make keys, and say which key may sign what
    #[command(subcommand)]
    Keys(KeysVerb),
    /// Change a repository's keys with signatures of people who keep theirs apart
    #[command(subcommand)]
    Root(RootVerb),
    /// Serve a folder over HTTP, for trying things
    ///
    /// Prints `listening on http://ADDRESS` once it does. Stops on Ctrl-C.
    Serve(ServeArguments),
    /// Serve what a device holds to the local network, as a mirror of its repository
    ///
    /// What it does not hold it fetches from the repository, once for everybody who asks, and keeps for
    /// the next. Other devices find it with --nearby, and believe it no more than any other mirror.
    /// Prints `listening on http://ADDRESS` once it does. Stops on Ctrl-C.
    Mirror(MirrorArguments),
    /// Take the receipts of a fleet, and count each once
    ///
    /// Serves POST /v1/receipts, /metrics for Prometheus and /health. Prints `listening on
    /// http://ADDRESS` once it does. What it acknowledged is durable. Stops on Ctrl-C or SIGTERM.
    Collect(CollectArguments),
    /// Judge a step of a rollout by what its devices told: advance, wait or halt
    ///
    /// Shows the arithmetic, line by line. Exit codes: 0 advance, 10 wait, 11 halt. Waits where anything
    /// is missing or contradicts itself. With --apply signs the next step, or the halt.
    Gate(GateArguments),
    /// Make a device library that trusts one repository's root
    Enroll(EnrollArguments),
    /// Show or change the labels that rollouts choose a device by
    Label(LabelArguments),
    /// Say what is offered and what it would cost; fetches no content
    Check(CheckArguments),
    /// Bring packs to the release that is offered, on trial
    ///
    /// Installs a PACK that is not there; without PACK, updates every pack that is. What was
    /// fetched before an interruption is kept: run it again and it goes on from there.
    Update(UpdateArguments),
    /// Say which release is active, on trial and to fall back to
    Status(StatusArguments),
    /// Print what learners and teachers should know of a pack's active release; needs no network
    Notes(NotesArguments),
    /// Print the folder of a pack's active release, alone on the last line
    Path(PackArguments),
    /// Open a release, and keep it where it is for as long as it is open
    ///
    /// Prints its folder, and keeps it open until stdin is at its end; with a COMMAND, runs that instead
    /// and keeps it open until it ends. Counts as an opening of a trial, but not for a content version.
    Open(OpenArguments),
    /// End a trial well: the active release stays
    Confirm(PackArguments),
    /// End a trial badly: the release before it is active again
    Fail(FailArguments),
    /// Go back to the release before the active one; needs no network
    Revert(RevertArguments),
    /// Compare every byte of the releases that are needed with their manifests
    Verify(LibraryArguments),
    /// Restore what is damaged, fetching only what is nowhere on the device
    ///
    /// Works on releases, their manifests, state records and trusted metadata. A tree is never changed
    /// in place: a healed one takes its place beside it.
    Heal(HealArguments),
    /// Let no other release become active for a while, as during an assessment
    ///
    /// Updates go on up to the switch, and end with exit code 6. The first one after the hold is over
    /// switches and fetches nothing.
    Hold(HoldArguments),
    /// End a hold
    #[command(visible_alias = "release")]
    Unhold(UnholdArguments),
    /// Stay on a release, or keep one
    ///
    /// The device stays on its active release until it is unpinned, whatever is offered. Another release
    /// than the active one is only kept, to be opened by its content version.
    Pin(PinArguments),
    /// End a pin
    Unpin(UnpinArguments),
    /// Remove releases that nothing needs: not active, fallback, staged, pinned or open
    Prune(PruneArguments),
    /// List the receipts of trials that ended, or send them to where they are counted
    #[command(subcommand)]
    Receipts(ReceiptsVerb),
    /// Make a delta between two files or two folders, and prove it
    Diff(DiffArguments),
    /// Make the new file or folder from the old one and a delta
    Apply(ApplyArguments),
    /// Tell the whole road in a temporary folder, power cut and bad release included
    Demo(DemoArguments),
    /// Print the completions of a shell
    #[command(hide = true)]
    Completions(CompletionsArguments),
    /// Write the man pages
    #[command(hide = true)]
    Man(ManArguments),
    /// Print the reference of the command line in Markdown
    #[command(hide = true)]
    Reference,
}

#[derive(Debug, Args)]
pub(crate) struct InitArguments {
    /// Where the repository is made
    pub(crate) repo: PathBuf,
    /// Where the private keys are kept (default `REPO.keys`)
    #[arg(long, value_name = "DIR")]
    pub(crate) keys: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct PublishArguments {
    /// The repository
    pub(crate) repo: PathBuf,
    /// The folder to publish
    pub(crate) folder: PathBuf,
    /// The pack
    #[arg(long, value_name = "TENANT/NAME")]
    pub(crate) pack: PackName,
    /// What the release is called; a label is used once
    #[arg(long, value_name = "LABEL")]
    pub(crate) release: Label,
    /// The channel that offers the release
    #[arg(long, default_value = "stable")]
    pub(crate) channel: ChannelName,
    /// The share of the channel's devices that is offered the release
    #[arg(long, default_value = "100%")]
    pub(crate) share: Share,
    /// The older releases that get a delta, with commas between: last:N, all, labels,
    /// baseline:LABEL; and pays:SIZE, what a delta has to save over the one from nothing
    #[arg(long, default_value = "last:4", value_name = "RELEASES")]
    pub(crate) delta_from: DeltaChoice,
    /// Notes for learners and teachers; in several languages by --notes en=FILE --notes fr=FILE
    #[arg(long, value_name = "[LANGUAGE=]FILE")]
    pub(crate) notes: Vec<NotesFile>,
    /// For how many days devices may go on with the tenant's packs once the timestamp has expired
    /// (default: as it was; 0 ends it)
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(..=366))]
    pub(crate) offline_grace: Option<u32>,
    #[command(flatten)]
    pub(crate) signing: SigningArguments,
    #[command(flatten)]
    pub(crate) deltas: DeltaArguments,
}

#[derive(Debug, Args)]
pub(crate) struct LintArguments {
    /// The folder
    pub(crate) folder: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct RepositoryArguments {
    /// The repository
    pub(crate) repo: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArguments {
    /// The repository
    pub(crate) repo: PathBuf,
    /// The pack, or one release of it
    #[arg(value_name = "PACK[@LABEL]")]
    pub(crate) pack: PackAt,
    /// What was offered at a time such as 2026-12-24T18:00:00Z, by whom it was signed and until when,
    /// from the repository's log
    #[arg(long, value_name = "TIME", value_parser = UtcTime::parse, conflicts_with_all = ["notes", "sbom", "provenance"])]
    pub(crate) at: Option<UtcTime>,
    /// With --at: what the device of this id was offered
    #[arg(
        long,
        value_name = "ID",
        requires = "at",
        conflicts_with = "device_bucket"
    )]
    pub(crate) device: Option<DeviceId>,
    /// With --at: what devices in this bucket were offered
    #[arg(long, value_name = "N", requires = "at", value_parser = clap::value_parser!(u16).range(..10_000))]
    pub(crate) device_bucket: Option<u16>,
    /// With --at: a label that the device had, such as site=nairobi; repeatable
    #[arg(long, value_name = "KEY=VALUE", requires = "at")]
    pub(crate) label: Vec<DeviceLabel>,
    /// Print the release's notes, in this language or the nearest that there is
    #[arg(long, value_name = "LANGUAGE", num_args = 0..=1, default_missing_value = "en", conflicts_with_all = ["sbom", "provenance"])]
    pub(crate) notes: Option<Language>,
    /// Print the CycloneDX list of what the release contains
    #[arg(long, conflicts_with = "provenance")]
    pub(crate) sbom: bool,
    /// Print the in-toto statement of how the release came to be
    #[arg(long)]
    pub(crate) provenance: bool,
}

impl ShowArguments {
    /// Returns the labels of the device that is asked about.
    pub(crate) fn labels(&self) -> DeviceLabels {
        let mut labels = DeviceLabels::default();
        for label in &self.label {
            // What is no label was refused when it was read.
            let _ = labels.set(&label.key, &label.value);
        }
        labels
    }
}

#[derive(Debug, Args)]
pub(crate) struct AuditArguments {
    /// The repository
    pub(crate) repo: PathBuf,
    /// Apply every delta too, and compare what comes out
    #[arg(long)]
    pub(crate) apply: bool,
    /// Tell the whole history, an entry of the log a line
    #[arg(long)]
    pub(crate) log: bool,
    /// The last entry as an earlier audit, or one of another copy, showed it: what lies there has to
    /// go on from it
    #[arg(long, value_name = "NUMBER:DIGEST")]
    pub(crate) seen: Option<SeenHead>,
}

#[derive(Debug, Args)]
pub(crate) struct ReportArguments {
    /// The repository
    pub(crate) repo: PathBuf,
    /// The page to write
    #[arg(short, long, value_name = "FILE", default_value = "report.html")]
    pub(crate) out: PathBuf,
    /// What a collector has: its database, or a folder of receipts
    #[arg(long, value_name = "DATABASE")]
    pub(crate) receipts: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct NotesArguments {
    /// The library
    pub(crate) library: PathBuf,
    /// The pack
    pub(crate) pack: PackName,
    /// A language that the reader reads, the dearest first; repeatable
    #[arg(long, value_name = "LANGUAGE")]
    pub(crate) language: Vec<Language>,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    /// The folder, as a rule a repository
    pub(crate) repo: PathBuf,
    /// The address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub(crate) listen: SocketAddr,
}

#[derive(Debug, Args)]
pub(crate) struct EnrollArguments {
    /// Where the library is made
    pub(crate) library: PathBuf,
    /// The repository that the device updates from; can be repeated, for mirrors of it to take when
    /// the first is out of reach
    #[arg(long, value_name = "URL_OR_FOLDER", required = true)]
    pub(crate) repository: Vec<String>,
    /// The root metadata to trust, obtained by a way that is trusted already
    #[arg(long, value_name = "ROOT.json")]
    pub(crate) root: PathBuf,
    /// The channel that the device follows
    #[arg(long, default_value = "stable")]
    pub(crate) channel: ChannelName,
    /// A label that rollouts choose the device by, such as site=nairobi; repeatable
    #[arg(long = "label", value_name = "KEY=VALUE")]
    pub(crate) labels: Vec<Pair>,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    /// The library
    pub(crate) library: PathBuf,
    /// The pack; every installed one unless given
    pub(crate) pack: Option<PackName>,
    /// Say by which rules it is offered or withheld
    #[arg(long)]
    pub(crate) why: bool,
    #[command(flatten)]
    pub(crate) source: SourceArguments,
}

#[derive(Debug, Args)]
pub(crate) struct UpdateArguments {
    /// The library
    pub(crate) library: PathBuf,
    /// The packs; every installed one unless given
    #[arg(value_name = "PACK")]
    pub(crate) packs: Vec<PackName>,
    #[command(flatten)]
    pub(crate) source: SourceArguments,
    /// The most bytes to fetch of each pack's content, such as 500000 or 20MB
    #[arg(long, value_name = "BYTES")]
    pub(crate) budget: Option<ByteBudget>,
    /// Stop before the switch: the next update switches and fetches nothing
    #[arg(long)]
    pub(crate) stage_only: bool,
    /// Where the receipts that wait go afterwards: a collector's or a mirror's address, or a folder; the
    /// update does not fail where nobody takes them
    #[arg(long, value_name = "URL_OR_FOLDER", env = "SATCHEL_RECEIPTS_TO")]
    pub(crate) receipts_to: Option<String>,
    /// A file with the token that the collector asks for
    #[arg(long, value_name = "FILE", env = "SATCHEL_RECEIPTS_TOKEN_FILE")]
    pub(crate) receipts_token_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct LibraryArguments {
    /// The library
    pub(crate) library: PathBuf,
    /// The pack; every installed one unless given
    pub(crate) pack: Option<PackName>,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArguments {
    /// The library
    pub(crate) library: PathBuf,
    /// The pack; every installed one unless given
    pub(crate) pack: Option<PackName>,
    /// What became of each pack here: activations, confirmations and ways back
    #[arg(long)]
    pub(crate) history: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PackArguments {
    /// The library
    pub(crate) library: PathBuf,
    /// The pack
    pub(crate) pack: PackName,
}

#[derive(Debug, Args)]
pub(crate) struct FailArguments {
    /// The library
    pub(crate) library: PathBuf,
    /// The pack
    pub(crate) pack: PackName,
    /// What is wrong with the release
    #[arg(long)]
    pub(crate) reason: String,
}

#[derive(Debug, Args)]
pub(crate) struct RevertArguments {
    /// The library
    pub(crate) library: PathBuf,
    /// The pack
    pub(crate) pack: PackName,
    /// Why, for the record
    #[arg(long, default_value = "reverted by hand")]
    pub(crate) reason: String,
}

#[derive(Debug, Args)]
pub(crate) struct DiffArguments {
    /// The old file or folder
    pub(crate) old: PathBuf,
    /// The new file or folder
    pub(crate) new: PathBuf,
    /// The delta to write
    pub(crate) delta: PathBuf,
    #[command(flatten)]
    pub(crate) making: DeltaArguments,
    /// Say where the bytes went
    #[arg(long)]
    pub(crate) stats: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ApplyArguments {
    /// The old file or folder
    pub(crate) old: PathBuf,
    /// The delta
    pub(crate) delta: PathBuf,
    /// The new file or folder to write, which must not exist (a folder may be empty)
    pub(crate) new: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArguments {
    /// Keep the temporary folder and say where it is
    #[arg(long)]
    pub(crate) keep: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CompletionsArguments {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

#[derive(Debug, Args)]
pub(crate) struct ManArguments {
    /// The folder to write to
    pub(crate) dir: PathBuf,
}

/// The end of the help, and of the reference.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0  done, or nothing to do
  1  any other failure
  2  wrong usage
  3  no repository reached
  4  refused: a signature, rollback, freeze or digest that is not trusted
  5  not enough space, or over the budget
  6  busy: another process is at work
  7  the trial failed and was reverted
  8  damage found
  9  unsupported: a newer Satchel is needed
  10 gate: wait
  11 gate: halt";

#[cfg(test)]
mod tests;
