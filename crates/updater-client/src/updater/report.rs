use std::sync::PoisonError;
use std::time::{Duration, Instant};

use diff_core::{CancelToken, Digest};
use release_format::{
    CatalogueRelease, PackName, Reason, ReceiptId, ReceiptOutcome, ReceiptRoute, Receipted,
    SignedReceipt,
};

use super::Updater;
use crate::courier::Courier;
use crate::error::{ErrorKind, UpdateError};
use crate::event::Event;
use crate::library::disk::DiskError;
use crate::library::lock::LibraryLock;
use crate::library::outbox::{Outbox, Waiting};
use crate::library::state::{InstalledRelease, StateRecord, ended};
use crate::step::plan::Route;
use crate::step::recover;

/// What [`Updater::report`] did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reported {
    /// Receipts that were handed over.
    pub sent: u64,
    /// Those that arrived, and are gone from the outbox.
    pub accepted: u64,
    /// Those that were refused for good, and are gone as well.
    pub dropped: u64,
    /// Those that wait still: for a stick to come back, or because they were not taken now.
    pub waiting: u64,
}

impl Updater {
    /// Returns the receipts that wait to leave: the device's own, and those of neighbours.
    ///
    /// # Errors
    /// [`UpdateError::Disk`] when the outbox cannot be listed.
    pub fn receipts(&self) -> Result<Vec<SignedReceipt>, UpdateError> {
        let waiting = self.outbox().waiting()?;
        Ok(waiting.into_iter().map(|one| one.receipt).collect())
    }

    /// Hands the receipts that wait to `courier`, in batches, and lets those go that arrived.
    ///
    /// A receipt leaves the outbox only once it is named in an answer; cut off before that, it is sent
    /// again, and counted once.
    ///
    /// # Errors
    /// [`UpdateError::Busy`]; [`UpdateError`] of the courier when it could take nothing.
    pub fn report(
        &self,
        courier: &dyn Courier,
        cancel: &CancelToken,
    ) -> Result<Reported, UpdateError> {
        self.hand_over(courier, cancel, usize::MAX)
    }

    /// Hands receipts to the courier that the host named, some thousand at the most. Whatever goes wrong,
    /// they wait on, and the observer is told; but not that an update was cancelled.
    pub(super) fn report_by_the_way(&self, cancel: &CancelToken) {
        let Some(courier) = &self.config.courier else {
            return;
        };
        let mut unreported = self
            .unreported
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if unreported.is_some_and(|failed| failed.elapsed() < LET_BE) {
            return;
        }
        let to = courier.address();
        match self.hand_over(&**courier, cancel, BATCHES_BY_THE_WAY) {
            Ok(Reported {
                sent: 0,
                waiting: 0,
                ..
            }) => {}
            Ok(reported) => self.observer().event(&Event::Reported {
                to,
                accepted: reported.accepted,
                waiting: reported.waiting,
            }),
            // Whoever cancelled knows, and the courier may well be there.
            Err(UpdateError::Cancelled) => {}
            Err(failed) => {
                *unreported = Some(Instant::now());
                let reason = failed.to_string();
                self.observer().event(&Event::NotReported { to, reason });
            }
        }
    }

    fn hand_over(
        &self,
        courier: &dyn Courier,
        cancel: &CancelToken,
        most_batches: usize,
    ) -> Result<Reported, UpdateError> {
        let _lock = LibraryLock::acquire(self.disk(), &self.layout)?;
        recover::recover(self.disk(), &self.layout, self.observer())?;
        let waiting = self.outbox().waiting()?;
        let mut reported = Reported::default();
        for batch in batches(&waiting).take(most_batches) {
            cancel.check()?;
            let receipts: Vec<_> = batch.iter().map(|one| one.receipt.clone()).collect();
            let answer = courier.carry(&receipts)?;
            let (accepted, dropped) = self.let_go(batch, &answer)?;
            reported.sent += receipts.len() as u64;
            reported.accepted += accepted;
            reported.dropped += dropped;
        }
        let all = waiting.len() as u64;
        reported.waiting = all - reported.accepted - reported.dropped;
        Ok(reported)
    }

    fn let_go(&self, batch: &[Waiting], answer: &Receipted) -> Result<(u64, u64), DiskError> {
        let named = |name: &str| batch.iter().find(|one| one.receipt.name() == name);
        let mut gone: Vec<&Waiting> = Vec::new();
        gone.extend(answer.accepted.iter().filter_map(|name| named(name)));
        gone.dedup_by_key(|one| &one.path);
        let accepted = gone.len();
        // Every line of ours is a receipt that its device signed: whoever says otherwise reads another
        // version of them, and nothing is gained by keeping them for him.
        let finally = answer.refused.iter().filter(|one| one.reason.is_final());
        let lines = finally.filter_map(|one| one.name.strip_prefix("line ")?.parse().ok());
        let refused = lines.filter_map(|line: usize| batch.get(line.checked_sub(1)?));
        gone.extend(refused);
        self.outbox().remove(&gone)?;
        Ok((accepted as u64, (gone.len() - accepted) as u64))
    }

    /// Notes that a release which was offered could not be put together as it was signed.
    ///
    /// Once for a release and what it was tried from, however often it is tried again.
    pub(super) fn note_refused(
        &self,
        (pack, from): (&PackName, Option<&InstalledRelease>),
        release: &CatalogueRelease,
        failed: &UpdateError,
    ) {
        if failed.kind() != ErrorKind::Refused {
            return;
        }
        let Ok(reason) = Reason::new(failed.code(), &failed.to_string()) else {
            return;
        };
        let from = from.map(|from| from.manifest);
        let nothing = Digest::of(b"");
        let tried = [release.manifest.digest, from.unwrap_or(nothing)];
        let tried = tried.map(|digest| *digest.as_bytes()).concat();
        let mut ending = self.ending(ReceiptOutcome::VerificationFailed, failed.code());
        ending.fresh = first_bytes(&Digest::of(&tried));
        let release = InstalledRelease {
            label: release.label.clone(),
            sequence: release.sequence,
            manifest: release.manifest.digest,
            tree_bytes: release.tree_bytes,
        };
        let told = ended(&release, ending.outcome, Some(reason), None, &ending);
        self.queue(&StateRecord::empty(pack.clone()).ending_with(told));
    }

    /// Queues a receipt of a release that was tried out of sight, the same one however often that is.
    pub(super) fn note_shadowed(&self, pack: &PackName, release: &InstalledRelease, damaged: u64) {
        let (outcome, reason) = match damaged {
            0 => (ReceiptOutcome::ShadowOk, None),
            _ => {
                let found = format!("{damaged} files are damaged or missing");
                (
                    ReceiptOutcome::ShadowFailed,
                    Reason::new("damaged", &found).ok(),
                )
            }
        };
        let mut ending = self.ending(outcome, "damaged");
        let tried = [&release.manifest.as_bytes()[..], outcome.name().as_bytes()].concat();
        ending.fresh = first_bytes(&Digest::of(&tried));
        let told = ended(release, outcome, reason, None, &ending);
        self.queue(&StateRecord::empty(pack.clone()).ending_with(told));
    }

    fn outbox(&self) -> Outbox<'_> {
        Outbox::new(self.disk(), &self.layout)
    }
}

/// Returns what a receipt calls a route.
pub(super) fn route_name(route: Option<&Route>) -> ReceiptRoute {
    match route {
        None => ReceiptRoute::Nothing,
        Some(route) if route.chunks.is_some() => ReceiptRoute::Chunks,
        Some(route) if route.is_full() => ReceiptRoute::Full,
        Some(route) if route.hops.len() > 1 => ReceiptRoute::Chain,
        Some(_) => ReceiptRoute::Delta,
    }
}

fn batches(waiting: &[Waiting]) -> impl Iterator<Item = &[Waiting]> {
    waiting.chunks(BATCH)
}

fn first_bytes(digest: &Digest) -> ReceiptId {
    let (first, _) = digest
        .as_bytes()
        .split_first_chunk()
        .expect("a digest has 32 bytes");
    ReceiptId::from_bytes(*first)
}

/// Within [`Receipted::MAX_REQUEST_BYTES`], whatever is in them.
const BATCH: usize = 500;
/// Enough for what a device and its neighbours gather in a day, and soon done.
const BATCHES_BY_THE_WAY: usize = 4;
/// How long whoever was not there is let be.
const LET_BE: Duration = Duration::from_secs(10 * 60);
