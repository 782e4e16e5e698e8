use clap::Args;
use release_format::ChannelName;

use super::{ByteBudget, HttpsArguments};

/// Where an update comes from.
#[derive(Debug, Args)]
pub(crate) struct SourceArguments {
    /// A mirror to take first, such as a stick or a share; what it lacks comes from the repository
    #[arg(long, value_name = "URL_OR_FOLDER")]
    pub(crate) from: Option<String>,
    /// Take nothing from anywhere but --from
    #[arg(long, requires = "from")]
    pub(crate) only: bool,
    /// Take what devices of the local network serve (`satchel mirror`), and the rest from the repository
    #[arg(long, conflicts_with = "from")]
    pub(crate) nearby: bool,
    /// The most bytes to receive in a second, such as 200kB
    #[arg(long, value_name = "BYTES")]
    pub(crate) throttle: Option<ByteBudget>,
    /// The channel to follow (default: the one that the library was enrolled for)
    #[arg(long)]
    pub(crate) channel: Option<ChannelName>,
    #[command(flatten)]
    pub(crate) https: HttpsArguments,
}
