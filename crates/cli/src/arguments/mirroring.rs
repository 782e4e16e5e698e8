use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::{ByteBudget, HttpsArguments};

#[derive(Debug, Args)]
pub(crate) struct MirrorArguments {
    /// The library
    pub(crate) library: PathBuf,
    /// The address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0:8485")]
    pub(crate) listen: SocketAddr,
    /// Serve what the library holds, and fetch nothing for others
    #[arg(long)]
    pub(crate) no_upstream: bool,
    /// The most bytes of content to keep for others, such as 500MB; what was asked for least recently
    /// goes first
    #[arg(long, value_name = "BYTES", default_value = "4GB")]
    pub(crate) keep: ByteBudget,
    /// Tell nobody on the network: devices find it by --from http://ADDRESS alone
    #[arg(long)]
    pub(crate) no_announce: bool,
    #[command(flatten)]
    pub(crate) https: HttpsArguments,
}
