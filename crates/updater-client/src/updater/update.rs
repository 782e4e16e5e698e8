use std::sync::Arc;
use std::time::Instant;

use diff_core::{CancelToken, Digest};
use release_format::{
    Asker, Catalogue, CatalogueRelease, PackName, ReceiptOutcome, Rollout, Ruling, TrustLimits,
    UtcTime,
};
use tracing::info_span;

use super::Updater;
use super::long_file::LongFile;
use super::report::route_name;
use super::trial::{WITHDRAWN, fresh_id};
use crate::clock::{Clock, EffectiveClock};
use crate::error::UpdateError;
use crate::event::Event;
use crate::library::lock::LibraryLock;
use crate::library::mirror_health;
use crate::library::state::{Began, Ending, Hold, InstalledRelease, StateRecord};
use crate::library::trust_store::TrustStore;
use crate::step::check::{self, Judgement, Lacking, Leaving, Offer, Question, Withheld};
use crate::step::document::{Documents, Traffic};
use crate::step::fetch::Fetcher;
use crate::step::freshness::Freshness;
use crate::step::plan::{Plan, Route, Unusable};
use crate::step::prune::Pruner;
use crate::step::repository::TrustedRepository;
use crate::step::{activate, recover, refresh};
use crate::time_floor::TimeFloor;
use crate::transport::{Health, Transport};

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// The release that is active.
    pub installed: Option<InstalledRelease>,
    /// What the repository offers.
    pub offer: Offer,
    /// The active release, where it is withdrawn and the device is to leave it.
    pub leaving: Option<Leaving>,
    /// What this client lacks for a newer release than it is offered.
    pub lacking: Option<Lacking>,
    /// The rules by which the offer was decided, in their order.
    pub rulings: Vec<Ruling>,
    /// The way to the release that is offered; `None` where none is, or where it is staged already.
    pub plan: Option<Plan>,
    /// Bytes that must be free to go that way.
    pub needed_bytes: u64,
    /// Bytes that are free.
    pub available_bytes: u64,
    /// What of the release cannot lie here, however much is free: an update to it is refused.
    pub too_long: Option<LongFile>,
    /// What asking cost.
    pub traffic: Traffic,
    /// The hold that would keep an update from switching, if there is one now.
    pub held: Option<Hold>,
    /// How current the metadata is that says so.
    pub freshness: Freshness,
}

/// What bounds an update.
#[derive(Debug, Clone, Default)]
pub struct UpdateOptions {
    /// The most bytes of content that may be fetched; `None` for as many as it takes.
    pub budget_bytes: Option<u64>,
    /// Whether to stop before the switch: the release is rebuilt and durable, and the next update
    /// switches to it without fetching anything.
    pub stage_only: bool,
}

/// How an update ended, and what it moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Updated {
    /// How it ended.
    pub outcome: Outcome,
    /// All requests and bytes, metadata included.
    pub traffic: Traffic,
    /// The way that was taken; `None` when nothing had to be fetched.
    pub route: Option<Route>,
    /// The hold because of which the release was staged only.
    pub held: Option<Hold>,
    /// How current the metadata was that decided.
    pub freshness: Freshness,
}

/// How an update ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The device has the newest release that it is offered.
    Current,
    /// There is a newer release, and this device is not to have it.
    Withheld(Withheld),
    /// The release was rebuilt beside the active one and compared with its manifest, and does not
    /// become active.
    Shadowed {
        /// The release.
        release: InstalledRelease,
        /// How many of its files are not as they should be.
        damaged: u64,
    },
    /// The active release was withdrawn, and the one before it is active again; nothing was fetched.
    Returned(InstalledRelease),
    /// The release lies beside the active one, which stays.
    Staged(InstalledRelease),
    /// The release is active, on trial until [`Updater::trial`] is confirmed.
    Activated(InstalledRelease),
}

/// What the repository answers for one pack.
pub(super) struct Answer {
    record: StateRecord,
    pub(super) catalogue: Catalogue,
    judgement: Judgement,
    rollout: Rollout,
    freshness: Freshness,
}

impl Updater {
    /// Asks the repository what it offers for `pack`, and plans the way there; fetches no content.
    ///
    /// # Errors
    /// [`UpdateError`], by what the caller can do.
    pub fn check(&self, pack: &PackName, cancel: &CancelToken) -> Result<Check, UpdateError> {
        let _span = info_span!("check", %pack).entered();
        self.with_mirrors(|clock, transport| {
            let fetcher = self.fetcher(transport, cancel);
            let answer = self.ask(pack, &fetcher, clock)?;
            self.checked(pack, answer, clock.now(), (&fetcher, cancel))
        })
    }

    fn checked(
        &self,
        pack: &PackName,
        answer: Answer,
        now: UtcTime,
        (fetcher, cancel): (&Fetcher<'_>, &CancelToken),
    ) -> Result<Check, UpdateError> {
        let Answer {
            record,
            catalogue,
            judgement,
            freshness,
            ..
        } = answer;
        let offer = judgement.offer;
        let (plan, too_long) = match &offer {
            Offer::Release(release) | Offer::Shadow(release)
                if self.staged_copy(pack, release)?.is_none() =>
            {
                let tools = (fetcher, cancel);
                let planned = self.planned(
                    (&catalogue, release),
                    &record,
                    (&Unusable::default(), None),
                    None,
                    tools,
                );
                let (plan, _) = planned?;
                let long = match self.long_file(release, fetcher)? {
                    None => self.long_delta(&plan.route)?,
                    long => long,
                };
                (Some(plan), long)
            }
            _ => (None, None),
        };
        Ok(Check {
            installed: record.active().cloned(),
            needed_bytes: plan.as_ref().map_or(0, |plan| plan.route.needed_bytes()),
            available_bytes: self.disk().available_bytes(self.layout.root())?,
            too_long,
            traffic: fetcher.traffic(),
            held: record.held_at(now).cloned(),
            freshness,
            offer,
            leaving: judgement.leaving,
            lacking: judgement.lacking,
            rulings: judgement.rulings,
            plan,
        })
    }

    /// Brings `pack` to the release that it is offered, and switches to it on trial.
    ///
    /// Until the switch the active release is not touched, and any failure leaves it active. What
    /// was fetched is kept, so the next call goes on where this one stopped. Receipts that wait are handed
    /// over at the end, where the builder was told to whom.
    ///
    /// # Errors
    /// [`UpdateError`], by what the caller can do.
    pub fn update(
        &self,
        pack: &PackName,
        options: &UpdateOptions,
        cancel: &CancelToken,
    ) -> Result<Updated, UpdateError> {
        let span = info_span!("update", %pack).entered();
        let updated = self.with_mirrors(|clock, transport| {
            let fetcher = self.fetcher(transport, cancel);
            self.bring(pack, options, clock, (&fetcher, cancel))
        });
        drop(span);
        self.report_by_the_way(cancel);
        updated
    }

    fn bring(
        &self,
        pack: &PackName,
        options: &UpdateOptions,
        clock: &EffectiveClock,
        tools: (&Fetcher<'_>, &CancelToken),
    ) -> Result<Updated, UpdateError> {
        let (fetcher, cancel) = tools;
        let started = Instant::now();
        let Answer {
            record,
            catalogue,
            judgement,
            rollout,
            freshness,
        } = self.ask(pack, fetcher, clock)?;
        let Judgement { offer, leaving, .. } = judgement;
        let is_shadow = matches!(offer, Offer::Shadow(_));
        let next = match &offer {
            Offer::Release(release) | Offer::Shadow(release) => Some(release),
            _ => None,
        };
        let next_manifest = next.map(|next| next.manifest.digest);
        let record = self.drop_stale_stage(record, next_manifest)?;
        Pruner::new(self.disk(), &self.layout).drop_releases(&record, next_manifest.as_ref())?;
        recover::drop_downloads(self.disk(), &self.layout, &catalogue, next)?;
        let release = match offer {
            Offer::Release(release) | Offer::Shadow(release) => release,
            Offer::Current => {
                return Ok(Updated::without_transfer(
                    Outcome::Current,
                    fetcher,
                    freshness,
                ));
            }
            Offer::Withheld(why) => {
                return Ok(Updated::without_transfer(
                    Outcome::Withheld(why),
                    fetcher,
                    freshness,
                ));
            }
        };
        let leaving = leaving.map(|leaving| format!("withdrawn: {}", leaving.reason));
        if let Some(reason) = &leaving
            && let Some(fallback) = self.fallback_at_hand(&record, &release)?
        {
            let (outcome, held) = self.go_back(pack, fallback, (reason, options), clock.now())?;
            let updated = Updated::without_transfer(outcome, fetcher, freshness);
            return Ok(Updated { held, ..updated });
        }
        let before = fetcher.traffic().bytes;
        let (copy, route) = match self.staged_copy(pack, &release)? {
            Some(copy) => {
                // Whoever staged it may have been killed between the rename and its sync.
                self.layout.sync_move(self.disk(), pack)?;
                (copy, None)
            }
            None => {
                let span = info_span!("install", release = %release.label);
                let installed =
                    span.in_scope(|| self.install((&catalogue, &release), &record, options, tools));
                let (copy, route) = installed.inspect_err(|failed| {
                    self.note_refused((pack, record.active()), &release, failed);
                })?;
                (copy, Some(route))
            }
        };
        let spent = fetcher.traffic().bytes.saturating_sub(before);
        let left = options.budget_bytes;
        let left = left.map(|budget| budget.saturating_sub(spent));
        self.keep_notes(pack, &release, (fetcher, left))?;
        let installed = installed(&release);
        let mut held = None;
        let outcome = if is_shadow {
            self.shadow(&record, installed, copy, cancel)?
        } else if options.stage_only {
            let staged = installed.clone();
            self.store(pack)
                .change(|record| record.stage(staged, copy))?;
            Outcome::Staged(installed)
        } else {
            cancel.check()?;
            let ready = (installed.clone(), copy);
            let began = self.began(route.as_ref(), fetcher, started, clock.now());
            let why = leaving.as_ref().map_or("", |_| WITHDRAWN);
            let ending = Ending {
                floor: clock.floor(),
                ..self.ending(ReceiptOutcome::Superseded, why)
            };
            let told = (Some(began), &ending);
            let (store, reason) = (self.store(pack), leaving.as_deref());
            held = activate::activate(store, ready, reason, clock.now(), told, self.observer())?;
            if let Ok(stored) = store.load() {
                self.queue(&stored.record);
            }
            match held {
                Some(_) => Outcome::Staged(installed),
                None => Outcome::Activated(installed),
            }
        };
        // The switch is made: what cannot be tidied now is tidied by the next update.
        let _ = recover::drop_downloads(self.disk(), &self.layout, &catalogue, None);
        let _ = self.drop_surplus(pack);
        // A first install has only now a folder to keep them in.
        self.keep_flags(&rollout)?;
        Ok(Updated {
            outcome,
            traffic: fetcher.traffic(),
            route,
            held,
            freshness,
        })
    }

    fn began(
        &self,
        route: Option<&Route>,
        fetcher: &Fetcher<'_>,
        started: Instant,
        at: UtcTime,
    ) -> Began {
        Began {
            trial: fresh_id(),
            at,
            channel: self.channel().clone(),
            route: route_name(route),
            fetched_bytes: fetcher.traffic().bytes,
            update_seconds: started.elapsed().as_secs(),
        }
    }

    /// Removes the releases that nothing needs any more, now that another one is active.
    fn drop_surplus(&self, pack: &PackName) -> Result<(), UpdateError> {
        let record = self.store(pack).load()?.record;
        Pruner::new(self.disk(), &self.layout).drop_releases(&record, None)
    }

    /// Forgets a staged release that is not the one to switch to any more.
    fn drop_stale_stage(
        &self,
        record: StateRecord,
        next: Option<Digest>,
    ) -> Result<StateRecord, UpdateError> {
        match record.staged() {
            Some(staged) if Some(staged.manifest) != next => {
                let store = self.store(record.pack());
                Ok(store.change(|record| Ok(record.unstage()))?.after)
            }
            _ => Ok(record),
        }
    }

    /// Refreshes the trusted metadata and decides what it means for this device.
    pub(super) fn ask(
        &self,
        pack: &PackName,
        fetcher: &Fetcher<'_>,
        clock: &EffectiveClock,
    ) -> Result<Answer, UpdateError> {
        self.observer()
            .event(&Event::Checking { pack: pack.clone() });
        let _span = info_span!("refresh", %pack).entered();
        let documents = fetcher.documents();
        let (repository, (catalogue, rollout)) = loop {
            let store = TrustStore::new(self.disk(), self.layout.trust(), TrustLimits::standard());
            let floor = TimeFloor::of_build();
            let mut repository = TrustedRepository::load(store, documents, clock.now(), floor)?;
            // A dead clock must not shut the device out of HTTPS, by which the right time would come.
            clock.raise(repository.now());
            match refresh::refresh(&mut repository, (pack, self.channel())) {
                // One of several mirrors may be stale, or lie; a stick that is, is told of.
                Err(UpdateError::Trust(_))
                    if !self.config.is_given_a_mirror() && documents.pass_over(METADATA) => {}
                answer => break (repository, answer?),
            }
        };
        let freshness = repository.freshness();
        // What was just learned may prove that it is later still.
        clock.raise(repository.now());
        let record = self.store(pack).load()?.record;
        if record.generation() > 0 {
            self.keep_flags(&rollout)?;
        }
        let asker = Asker {
            device: *self.record.device(),
            labels: self.labels(),
            client: self.config.abilities.version,
            now: clock.now(),
        };
        let by_chunks = self.config.abilities.chunks;
        let missing =
            |release: &CatalogueRelease| self.missing(&catalogue, release, &record, by_chunks);
        let judgement = check::judge(&Question {
            catalogue: &catalogue,
            rollout: &rollout,
            asker,
            state: &record,
            missing: &missing,
        });
        Ok(Answer {
            record,
            catalogue,
            judgement,
            rollout,
            freshness,
        })
    }

    /// Does `work` while no other update can begin, what an interrupted one left is tidied, and mirrors
    /// can be asked; the next run knows how these did.
    fn with_mirrors<T>(
        &self,
        work: impl FnOnce(&EffectiveClock, &dyn Transport) -> Result<T, UpdateError>,
    ) -> Result<T, UpdateError> {
        let _lock = LibraryLock::acquire(self.disk(), &self.layout)?;
        recover::recover(self.disk(), &self.layout, self.observer())?;
        let clock = Arc::new(EffectiveClock::new(Arc::clone(&self.config.clock)));
        let (transport, health) = self.transport(&clock)?;
        let outcome = work(&clock, &*transport);
        let rests = health.told(Instant::now());
        let now = self.config.clock.now();
        // A hint, which is not missed.
        let _ = mirror_health::store(self.disk(), &self.layout, &rests, now);
        outcome
    }

    /// Returns the number of the tree of a release that was built and made durable before, so that
    /// only the switch is missing.
    fn staged_copy(
        &self,
        pack: &PackName,
        release: &CatalogueRelease,
    ) -> Result<Option<u32>, UpdateError> {
        let manifest = &release.manifest.digest;
        let Some(newest) = self.shelf().copies(pack, manifest)?.into_iter().next() else {
            return Ok(None);
        };
        let folder = self.layout.copy(pack, manifest, newest);
        Ok(self.shelf().is_present(&folder)?.then_some(newest))
    }

    /// Returns what to fetch over, and what becomes known of the mirrors meanwhile.
    pub(super) fn transport(
        &self,
        clock: &Arc<EffectiveClock>,
    ) -> Result<(Arc<dyn Transport>, Arc<Health>), UpdateError> {
        // By the clock alone, whatever is proved later: as it shows when they are stored.
        let now = self.config.clock.now();
        let rests = mirror_health::load(self.disk(), &self.layout, now);
        let clock: Arc<dyn Clock> = clock.clone();
        self.config.transport(&self.record, &clock, rests)
    }

    pub(super) fn fetcher<'a>(
        &'a self,
        transport: &'a dyn Transport,
        cancel: &'a CancelToken,
    ) -> Fetcher<'a> {
        let documents = Documents::new(transport, cancel).policy(&self.config.fetching);
        Fetcher::new(documents, self.disk(), &self.layout, self.observer())
    }
}

/// Any file of the metadata: a mirror is passed over with all of it.
const METADATA: &str = "metadata/timestamp.json";

impl Updated {
    fn without_transfer(outcome: Outcome, fetcher: &Fetcher<'_>, freshness: Freshness) -> Updated {
        Updated {
            outcome,
            traffic: fetcher.traffic(),
            route: None,
            held: None,
            freshness,
        }
    }
}

fn installed(release: &CatalogueRelease) -> InstalledRelease {
    InstalledRelease {
        label: release.label.clone(),
        sequence: release.sequence,
        manifest: release.manifest.digest,
        tree_bytes: release.tree_bytes,
    }
}
