use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};
use release_format::{ChannelName, PackName};

use super::governing::SigningArguments;

/// What is done with receipts.
#[derive(Debug, Subcommand)]
pub(crate) enum ReceiptsVerb {
    /// List the receipts that wait to leave, the oldest first
    List(ListReceiptsArguments),
    /// Send the receipts that wait to a collector or a neighbour, or lay them down on a stick
    ///
    /// A receipt that was laid down goes on waiting until the stick comes back from where it was
    /// collected; until then it can be sent by other ways, too.
    Send(SendReceiptsArguments),
}

#[derive(Debug, Args)]
pub(crate) struct ListReceiptsArguments {
    /// The library
    pub(crate) library: PathBuf,
    /// Print them as one request of OTLP/JSON, for an OpenTelemetry collector
    #[arg(long)]
    pub(crate) otlp: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SendReceiptsArguments {
    /// The library
    pub(crate) library: PathBuf,
    /// Where to: `http://` or `https://` and a collector's or a mirror's address, or a folder
    #[arg(long, value_name = "URL_OR_FOLDER")]
    pub(crate) to: String,
    /// A file with the token that the collector asks for
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct CollectArguments {
    /// Where receipts are kept: a file, made where there is none, or postgres://USER@HOST/NAME
    #[arg(long, value_name = "FILE_OR_URL")]
    pub(crate) database: String,
    /// The address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8487")]
    pub(crate) listen: SocketAddr,
    /// Take the receipts that lie on a stick or a share, and serve nothing
    #[arg(long, value_name = "FOLDER")]
    pub(crate) import: Option<PathBuf>,
    /// Which devices may send: `open` for all that sign, or a file with a public key on each line
    #[arg(long, value_name = "open|FILE", default_value = "open")]
    pub(crate) devices: String,
    /// A file with a token that senders have to show
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Receipts that a device may send in an hour
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub(crate) receipts_an_hour: u32,
    /// Devices that may introduce themselves in an hour, with `--devices open`
    #[arg(long, value_name = "N", default_value_t = 25_000)]
    pub(crate) newcomers_an_hour: u32,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("evidence").args(["receipts", "prometheus"]).required(true).multiple(true))]
pub(crate) struct GateArguments {
    /// The repository
    pub(crate) repo: PathBuf,
    /// The pack
    pub(crate) pack: PackName,
    /// The plan: steps and objectives
    #[arg(long, value_name = "rollout.toml")]
    pub(crate) plan: PathBuf,
    /// The channel, where the plan names another
    #[arg(long)]
    pub(crate) channel: Option<ChannelName>,
    /// Receipts: a collector's database, or a folder of them; can be repeated
    #[arg(long, value_name = "DATABASE_OR_FOLDER")]
    pub(crate) receipts: Vec<String>,
    /// The address of a Prometheus that reads the collector's metrics
    #[arg(long, value_name = "URL")]
    pub(crate) prometheus: Option<String>,
    /// Sign what the gate says: the next step, or the halt
    #[arg(long)]
    pub(crate) apply: bool,
    /// Write what the gate says as an approval for the holders of a guarded channel's keys
    #[arg(long, value_name = "FILE", conflicts_with = "apply")]
    pub(crate) propose: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) signing: SigningArguments,
}
