use std::path::PathBuf;
use std::sync::Arc;

use diff_core::Limits;
use release_format::ChannelName;

use crate::UpdateError;
use crate::clock::{Clock, SystemClock};
use crate::event::{Observer, Unobserved};
use crate::library::disk::{Disk, RealDisk};
use crate::library::identity::LibraryRecord;
use crate::transport::{FolderTransport, Transport, TransportError};

/// Builds an [`Updater`](crate::Updater): the library is required, everything else has a default.
///
/// ```no_run
/// # fn main() -> Result<(), updater_client::UpdateError> {
/// let updater = updater_client::Updater::builder("library").build()?;
/// # Ok(()) }
/// ```
pub struct UpdaterBuilder {
    pub(crate) library: PathBuf,
    pub(crate) repository: Option<Arc<dyn Transport>>,
    pub(crate) channel: ChannelName,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) limits: Limits,
}

impl UpdaterBuilder {
    pub(crate) fn new(library: PathBuf) -> UpdaterBuilder {
        UpdaterBuilder {
            library,
            repository: None,
            channel: ChannelName::default(),
            observer: Arc::new(Unobserved),
            clock: Arc::new(SystemClock),
            disk: Arc::new(RealDisk::new()),
            limits: Limits::standard(),
        }
    }

    /// Fetches from `transport` rather than from the addresses that the library was enrolled with:
    /// a stick, a share, or a transport of the host's own.
    pub fn repository(mut self, transport: Arc<dyn Transport>) -> UpdaterBuilder {
        self.repository = Some(transport);
        self
    }

    /// Follows `channel` rather than `stable`.
    pub fn channel(mut self, channel: ChannelName) -> UpdaterBuilder {
        self.channel = channel;
        self
    }

    /// Tells `observer` of progress and of every change of state, on the thread that does the work.
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> UpdaterBuilder {
        self.observer = observer;
        self
    }

    /// Takes the time from `clock` rather than from the system.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> UpdaterBuilder {
        self.clock = clock;
        self
    }

    /// Changes the library through `disk`: for tests that cut the power.
    pub fn disk(mut self, disk: Arc<dyn Disk>) -> UpdaterBuilder {
        self.disk = disk;
        self
    }

    /// Refuses what passes `limits` rather than the standard ones.
    pub fn limits(mut self, limits: Limits) -> UpdaterBuilder {
        self.limits = limits;
        self
    }

    /// Returns the mirror to fetch from: the one given here, else the first address of the library.
    pub(crate) fn transport(
        &self,
        record: &LibraryRecord,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<dyn Transport>, UpdateError> {
        match (&self.repository, record.repositories().first()) {
            (Some(transport), _) => Ok(Arc::clone(transport)),
            (None, Some(address)) => transport_under(address, clock),
            (None, None) => Err(TransportError::Unreachable {
                address: "the repository".to_owned(),
                reason: "the library was enrolled without an address".to_owned(),
            }
            .into()),
        }
    }
}

/// Returns the transport to an address: a URL of HTTP or HTTPS, else a folder.
///
/// # Errors
/// [`TransportError::Unreachable`] for a URL of another kind, or where the crate was built without
/// the feature `http`.
pub fn transport_to(address: &str) -> Result<Arc<dyn Transport>, UpdateError> {
    transport_under(address, Arc::new(SystemClock))
}

/// Returns the transport to an address, which judges certificates at the time of `clock`.
#[cfg_attr(
    not(feature = "http"),
    expect(unused_variables, clippy::needless_pass_by_value)
)]
fn transport_under(
    address: &str,
    clock: Arc<dyn Clock>,
) -> Result<Arc<dyn Transport>, UpdateError> {
    let unreachable = |reason: &str| TransportError::Unreachable {
        address: address.to_owned(),
        reason: reason.to_owned(),
    };
    match address.split_once("://") {
        #[cfg(feature = "http")]
        Some(("http" | "https", _)) => {
            let http = crate::transport::HttpTransport::builder(address).clock(clock);
            Ok(Arc::new(http.build()?))
        }
        #[cfg(not(feature = "http"))]
        Some(("http" | "https", _)) => {
            Err(unreachable("this program was built without HTTP").into())
        }
        Some(_) => Err(unreachable("expected http://, https:// or a folder").into()),
        None => Ok(Arc::new(FolderTransport::new(address))),
    }
}
