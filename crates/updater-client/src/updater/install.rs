use diff_core::{CancelToken, Digest};
use release_format::{Catalogue, CatalogueRelease};

use super::Updater;
use super::chunked::ChunkMeans;
use super::update::UpdateOptions;
use crate::error::{ErrorKind, UpdateError};
use crate::event::Event;
use crate::library::state::StateRecord;
use crate::step::fetch::Fetcher;
use crate::step::plan::{self, Holdings, NoRoute, Plan, Route, Unusable};
use crate::step::stage::{OldTree, ReadyHop, StageFailure, Stager};
use crate::transport::TransportError;

impl Updater {
    fn plan(
        &self,
        (catalogue, release): (&Catalogue, &CatalogueRelease),
        record: &StateRecord,
        unusable: &Unusable,
        (links, available_bytes): (bool, u64),
    ) -> Result<Plan, UpdateError> {
        let named = record.named();
        let releases: Vec<_> = named.iter().map(|release| release.manifest).collect();
        let methods = self.methods();
        let partial_bytes = |digest: &_| {
            let length = self.disk().length(&self.layout.partial(digest));
            length.ok().flatten().unwrap_or(0)
        };
        let holdings = Holdings {
            releases: &releases,
            methods: &methods,
            partial_bytes: &partial_bytes,
            links,
            available_bytes,
            unusable,
        };
        plan::plan(catalogue, release, &holdings).map_err(|none| UpdateError::NoMethod {
            pack: record.pack().clone(),
            label: release.label.clone(),
            methods: match none {
                NoRoute::Methods(methods) => methods,
                NoRoute::NoDelta => vec!["a delta that starts from what is installed".to_owned()],
            },
        })
    }

    /// Plans the way over deltas, and over chunks where these may be cheaper or are all that is left; by
    /// what is `known` of the chunks, if they were looked at before.
    pub(super) fn planned(
        &self,
        (catalogue, release): (&Catalogue, &CatalogueRelease),
        record: &StateRecord,
        (unusable, budget): (&Unusable, Option<u64>),
        known: Option<ChunkMeans>,
        (fetcher, cancel): (&Fetcher<'_>, &CancelToken),
    ) -> Result<(Plan, Option<ChunkMeans>), UpdateError> {
        let disk = (
            self.can_link()?,
            self.disk().available_bytes(self.layout.root())?,
        );
        let (links, available_bytes) = disk;
        let plan = self.plan((catalogue, release), record, unusable, disk);
        let is_asked_for = match &plan {
            // Into an empty library all chunks would have to come: no better than the whole by a delta.
            Ok(plan) => plan::may_chunks_pay(release, &plan.route) && !self.held().is_empty()?,
            Err(failed) => failed.kind() == ErrorKind::Unsupported,
        };
        // What passes the budget is not even asked about.
        let is_affordable = budget.is_none_or(|budget| plan::telling_bytes(release) <= budget);
        let without_chunks = unusable.chunks || !self.config.abilities.chunks;
        if without_chunks || !is_asked_for || !is_affordable {
            return Ok((plan?, None));
        }
        let means = match known.map_or_else(|| self.chunk_means(release, fetcher, cancel), Ok) {
            Ok(means) => means,
            // Deltas do without what tells of chunks.
            Err(failed)
                if is_lost(&failed)
                    || (plan.is_ok() && !matches!(failed, UpdateError::Cancelled)) =>
            {
                return Ok((plan?, None));
            }
            Err(failed) => return Err(failed),
        };
        let route = plan::chunk_route(release, means.way, links);
        let plan = match plan {
            Ok(plan) => plan.with_chunks(route, available_bytes),
            Err(_) => Plan {
                route,
                alternatives: Vec::new(),
            },
        };
        Ok((plan, Some(means)))
    }

    /// Whether the library's disk can give a file a second name without copying it.
    fn can_link(&self) -> Result<bool, UpdateError> {
        let probe = self.layout.staging().join("probe");
        self.disk().remove_tree(&probe)?;
        self.disk().create_dir(&probe)?;
        // A file of its own: others may have those of the library open.
        let file = probe.join("file");
        self.disk().create(&file)?;
        let link = self.disk().link(&file, &probe.join("link"))?;
        self.disk().remove_tree(&probe)?;
        Ok(link.is_some())
    }

    /// Fetches and stages `release`; returns the number of its tree, and the route that did it.
    ///
    /// A delta that no mirror has, or that is of no use, and damage in an installed release send the
    /// update along the cheapest of the other ways, within the budget; what has arrived is kept.
    pub(super) fn install(
        &self,
        (catalogue, release): (&Catalogue, &CatalogueRelease),
        record: &StateRecord,
        options: &UpdateOptions,
        tools: (&Fetcher<'_>, &CancelToken),
    ) -> Result<(u32, Route), UpdateError> {
        let (fetcher, _) = tools;
        if let Some(long) = self.long_file(release, fetcher)? {
            return Err(long.into());
        }
        let before = fetcher.traffic().bytes;
        let mut unusable = Unusable::default();
        let mut first_failure = None;
        let mut known = None;
        loop {
            let left = || {
                let spent = fetcher.traffic().bytes - before;
                let budget = options.budget_bytes;
                budget.map(|budget| budget.saturating_sub(spent))
            };
            let planned = self.planned(
                (catalogue, release),
                record,
                (&unusable, left()),
                known.take(),
                tools,
            );
            let (plan, means) = match (planned, first_failure.take()) {
                (Ok(planned), failure) => {
                    first_failure = failure;
                    planned
                }
                // There was a way, and this is what became of it.
                (Err(no_way), Some(failure)) if no_way.kind() == ErrorKind::Unsupported => {
                    return Err(failure);
                }
                (Err(failed), _) => return Err(failed),
            };
            let left = left();
            match (self.afford(&plan.route, left), first_failure.take()) {
                (Ok(()), failure) => first_failure = failure,
                // What the disk itself says is not what became of that way.
                (Err(refused @ UpdateError::DiskFull(_)), _) => return Err(refused),
                (Err(too_much), Some(failure)) if too_much.kind() == ErrorKind::Space => {
                    return Err(failure);
                }
                (Err(failed), _) => return Err(failed),
            }
            let taken = match means.as_ref().filter(|_| plan.route.chunks.is_some()) {
                Some(means) => self
                    .take_chunks(record, means, left, tools)
                    .map_err(RouteFailure::of_chunks),
                None => self.take(catalogue, &plan.route, record, tools),
            };
            let failed = match taken {
                Ok(copy) => return Ok((copy, plan.route)),
                Err(failed) => failed,
            };
            // Chunks that were to come from a damaged release have to come from elsewhere.
            known = means.filter(|_| matches!(failed.culprit, Some(Culprit::Delta(_))));
            match failed.culprit {
                Some(Culprit::Delta(digest)) => unusable.deltas.insert(digest),
                Some(Culprit::Release(digest)) => unusable.releases.insert(digest),
                Some(Culprit::Chunks) => std::mem::replace(&mut unusable.chunks, true),
                None => return Err(*failed.error),
            };
            let (pack, reason) = (record.pack().clone(), failed.error.to_string());
            tracing::warn!(%pack, %reason, "route.abandoned");
            self.observer()
                .event(&Event::RouteAbandoned { pack, reason });
            first_failure.get_or_insert(*failed.error);
        }
    }

    /// Fetches the deltas of a route and applies them.
    fn take(
        &self,
        catalogue: &Catalogue,
        route: &Route,
        record: &StateRecord,
        (fetcher, cancel): (&Fetcher<'_>, &CancelToken),
    ) -> Result<u32, RouteFailure> {
        let mut ready = Vec::new();
        for hop in &route.hops {
            let failed = |error: UpdateError| {
                let culprit = is_lost(&error).then_some(Culprit::Delta(hop.delta.digest));
                RouteFailure::new(culprit, error)
            };
            let Some(release) = catalogue.release(&hop.to) else {
                let pack = record.pack().clone();
                return Err(RouteFailure::new(None, UpdateError::UnknownPack { pack }));
            };
            ready.push(ReadyHop {
                release,
                delta: tracing::info_span!("fetch", bytes = hop.delta.length)
                    .in_scope(|| fetcher.content(&hop.delta))
                    .map_err(failed)?,
                built_bytes: hop.built_bytes,
            });
        }
        let from = route.hops.first().and_then(|hop| hop.from);
        let damaged = |error: UpdateError| {
            let is_damage = error.kind() == ErrorKind::Damage;
            let culprit = from.filter(|_| is_damage).map(Culprit::Release);
            RouteFailure::new(culprit, error)
        };
        let old = self.old_tree(from, record).map_err(damaged)?;
        let stager = Stager {
            disk: self.disk(),
            layout: &self.layout,
            limits: &self.config.limits,
            observer: self.observer(),
            cancel,
        };
        let _span = tracing::info_span!("stage", bytes = route.needed_bytes()).entered();
        stager
            .stage(record.pack(), &ready, old)
            .map_err(|StageFailure { hop, error }| {
                let hop = route.hops.get(hop);
                match (&error, hop) {
                    (UpdateError::Delta(_), Some(hop)) if error.kind() != ErrorKind::Damage => {
                        RouteFailure::new(Some(Culprit::Delta(hop.delta.digest)), error)
                    }
                    _ => damaged(error),
                }
            })
    }

    /// Refuses a route that does not fit the budget or the disk, before anything is fetched.
    fn afford(&self, route: &Route, budget: Option<u64>) -> Result<(), UpdateError> {
        if let Some(budget) = budget
            && route.fetch_bytes() > budget
        {
            return Err(UpdateError::OverBudget {
                needed: route.fetch_bytes(),
                budget,
            });
        }
        if let Some(long) = self.long_delta(route)? {
            return Err(long.into());
        }
        let available = self.disk().available_bytes(self.layout.root())?;
        let needed = route.needed_bytes();
        if needed > available {
            let at = self.layout.root().to_path_buf();
            return Err(UpdateError::FreeSpace {
                needed,
                available,
                at,
            });
        }
        Ok(())
    }

    /// Returns the tree that a route starts from, its manifest verified.
    fn old_tree(&self, from: Option<Digest>, record: &StateRecord) -> Result<OldTree, UpdateError> {
        let named = record.named();
        let release = named
            .into_iter()
            .find(|release| Some(release.manifest) == from);
        Ok(match release {
            Some(release) => {
                let manifest = self.manifest(record, release)?;
                OldTree::installed(&manifest, &self.tree(record, release))
            }
            None => OldTree::nothing(),
        })
    }
}

/// Why a route was not taken to its end, and what of it is to blame, where another route may do better.
struct RouteFailure {
    culprit: Option<Culprit>,
    error: Box<UpdateError>,
}

enum Culprit {
    Delta(Digest),
    Release(Digest),
    Chunks,
}

/// Whether what was to be fetched is not to be had, from any mirror that is in reach.
fn is_lost(error: &UpdateError) -> bool {
    matches!(
        error,
        UpdateError::Format(_) | UpdateError::Transport(TransportError::Absent { .. })
    )
}

impl RouteFailure {
    fn new(culprit: Option<Culprit>, error: UpdateError) -> RouteFailure {
        let error = Box::new(error);
        RouteFailure { culprit, error }
    }

    fn of_chunks(error: UpdateError) -> RouteFailure {
        let is_of_chunks = is_lost(&error) || error.kind() == ErrorKind::Damage;
        RouteFailure::new(is_of_chunks.then_some(Culprit::Chunks), error)
    }
}
