use clap::Args;
use release_format::ChannelName;

/// Where an update comes from.
#[derive(Debug, Args)]
pub(crate) struct SourceArguments {
    /// A mirror to use instead of the repository: a stick, a share, another address
    #[arg(long, value_name = "URL_OR_FOLDER")]
    pub(crate) from: Option<String>,
    /// The channel to follow
    #[arg(long, default_value = "stable")]
    pub(crate) channel: ChannelName,
}
