use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use diff_core::Limits;
use release_format::{ChannelName, DeviceLabels};

use crate::UpdateError;
use crate::clock::{Clock, SystemClock};
use crate::courier::Courier;
use crate::event::{Observer, Unobserved};
use crate::library::disk::{Disk, RealDisk};
use crate::library::identity::LibraryRecord;
use crate::step::abilities::Abilities;
use crate::step::pace::FetchPolicy;
use crate::transport::{
    FolderTransport, Health, Https, Mirrors, Nearby, Rest, Transport, TransportError,
};

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
    pub(crate) preferred: Option<Arc<dyn Transport>>,
    pub(crate) nearby: Vec<Arc<dyn Transport>>,
    pub(crate) channel: Option<ChannelName>,
    pub(crate) labels: Option<DeviceLabels>,
    pub(crate) abilities: Abilities,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) limits: Limits,
    pub(crate) fetching: FetchPolicy,
    pub(crate) https: Https,
    pub(crate) courier: Option<Arc<dyn Courier>>,
}

impl UpdaterBuilder {
    pub(crate) fn new(library: PathBuf) -> UpdaterBuilder {
        UpdaterBuilder {
            library,
            repository: None,
            preferred: None,
            nearby: Vec::new(),
            channel: None,
            labels: None,
            abilities: Abilities::of_build(),
            observer: Arc::new(Unobserved),
            clock: Arc::new(SystemClock),
            disk: Arc::new(RealDisk::new()),
            limits: Limits::standard(),
            fetching: FetchPolicy::default(),
            https: Https::new(),
            courier: None,
        }
    }

    /// Fetches from `transport` rather than from the addresses that the library was enrolled with: a
    /// transport of the host's own, or a stick with nothing behind it.
    pub fn repository(mut self, transport: Arc<dyn Transport>) -> UpdaterBuilder {
        self.repository = Some(transport);
        self
    }

    /// Fetches from `transport` what it has, a stick's or a share's, and only what it lacks from the
    /// addresses that the library was enrolled with; what is offered is what `transport` says, while it
    /// is in reach.
    pub fn prefer(mut self, transport: Arc<dyn Transport>) -> UpdaterBuilder {
        self.preferred = Some(transport);
        self
    }

    /// Fetches from `neighbours` what they have, devices of the same network that were found a moment
    /// ago, and the rest from where it is fetched without them.
    ///
    /// What is newest is asked of the others while they are in reach, so that a neighbour can keep
    /// nothing from a device that has a network of its own; one that is of no use is passed over.
    pub fn nearby(mut self, neighbours: Vec<Arc<dyn Transport>>) -> UpdaterBuilder {
        self.nearby = neighbours;
        self
    }

    /// Follows `channel` rather than the one that the library was enrolled with; a library that is
    /// enrolled keeps it.
    pub fn channel(mut self, channel: ChannelName) -> UpdaterBuilder {
        self.channel = Some(channel);
        self
    }

    /// Answers rollouts with `labels` rather than with those that the library has; a library that is
    /// enrolled keeps them.
    pub fn labels(mut self, labels: DeviceLabels) -> UpdaterBuilder {
        self.labels = Some(labels);
        self
    }

    /// Uses no more than `abilities`: for hosts on devices that are too weak for some of what this build
    /// can do.
    pub fn abilities(mut self, abilities: Abilities) -> UpdaterBuilder {
        self.abilities = abilities;
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

    /// Fetches as `policy` says rather than by the standard one: how often it asks again, and how fast.
    pub fn fetching(mut self, policy: FetchPolicy) -> UpdaterBuilder {
        self.fetching = policy;
        self
    }

    /// Speaks HTTPS as `https` says with the addresses that the library was enrolled with.
    pub fn https(mut self, https: Https) -> UpdaterBuilder {
        self.https = https;
        self
    }

    /// Has every update end by handing the receipts that wait to `courier`, as
    /// [`Updater::report`](crate::Updater::report) does.
    ///
    /// It is an errand by the way: an update fails by nothing of it, and the observer hears how it went.
    /// Where nobody takes them they go on waiting, and are not offered again for ten minutes.
    pub fn receipts_to(mut self, courier: Arc<dyn Courier>) -> UpdaterBuilder {
        self.courier = Some(courier);
        self
    }

    /// Refuses what passes `limits` rather than the standard ones.
    pub fn limits(mut self, limits: Limits) -> UpdaterBuilder {
        self.limits = limits;
        self
    }

    /// Whether the caller says where to fetch from.
    pub(crate) fn is_given_a_mirror(&self) -> bool {
        self.repository.is_some() || self.preferred.is_some()
    }

    /// Returns what to fetch over, and what becomes known of the mirrors, of which `rests` is known.
    ///
    /// Of those that the library was enrolled with alone: whoever names another has just put the stick in,
    /// and a folder that is not there costs nothing to ask.
    pub(crate) fn transport(
        &self,
        record: &LibraryRecord,
        clock: &Arc<dyn Clock>,
        rests: Vec<Rest>,
    ) -> Result<(Arc<dyn Transport>, Arc<Health>), UpdateError> {
        let mut mirrors: Vec<Arc<dyn Transport>> = Vec::new();
        mirrors.extend(self.preferred.clone());
        mirrors.extend(self.repository.clone());
        let given = mirrors.len();
        let addresses = match self.repository {
            Some(_) => &[],
            None => record.repositories(),
        };
        for address in addresses {
            match transport_under(address, &self.https, Arc::clone(clock)) {
                Ok(mirror) => mirrors.push(mirror),
                // An address that this build cannot use takes nothing from the others.
                Err(UpdateError::Transport(
                    TransportError::Unreachable { .. } | TransportError::Address { .. },
                )) if !mirrors.is_empty() || addresses.len() > 1 => {}
                Err(failed) => return Err(failed),
            }
        }
        let enrolled = mirrors.iter().skip(given).map(|mirror| mirror.address());
        // Of the only one nothing is worth knowing: it is asked.
        let is_one_of_several = mirrors.len() + self.nearby.len() > 1;
        let remembered = enrolled.filter(|of| is_one_of_several && of.contains("://"));
        let health = Health::recalled(remembered.collect(), rests, Instant::now());
        let health = Arc::new(health);
        if !self.nearby.is_empty() {
            let nearby = Nearby::new(self.nearby.clone(), mirrors, &health);
            return Ok((Arc::new(nearby), health));
        }
        if mirrors.is_empty() {
            return Err(TransportError::Unreachable {
                address: "the repository".to_owned(),
                reason: "the library was enrolled without an address".to_owned(),
            }
            .into());
        }
        let mirrors = Mirrors::knowing(mirrors, Arc::clone(&health));
        Ok((Arc::new(mirrors), health))
    }
}

/// Returns the transport to an address: a URL of HTTP or HTTPS, else a folder.
///
/// # Errors
/// [`TransportError::Unreachable`] for a URL of another kind, or where the crate was built without
/// the feature `http`; [`TransportError`] where `https` is of no use.
pub fn transport_to(address: &str, https: &Https) -> Result<Arc<dyn Transport>, UpdateError> {
    transport_under(address, https, Arc::new(SystemClock))
}

/// Returns the transport to an address, which judges certificates at the time of `clock`.
#[cfg_attr(
    not(feature = "http"),
    expect(unused_variables, clippy::needless_pass_by_value)
)]
fn transport_under(
    address: &str,
    https: &Https,
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
            Ok(Arc::new(http.https(https.clone()).build()?))
        }
        #[cfg(not(feature = "http"))]
        Some(("http" | "https", _)) => {
            Err(unreachable("this program was built without HTTP").into())
        }
        Some(_) => Err(unreachable("expected http://, https:// or a folder").into()),
        None => Ok(Arc::new(FolderTransport::new(address))),
    }
}
