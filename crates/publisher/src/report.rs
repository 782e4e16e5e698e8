//! One page to look at: a repository as HTML that needs no network.

use diff_core::Digest;
use release_format::{
    Catalogue, CatalogueRelease, LogEntry, Manifest, PackName, ReleaseStatus, UtcTime,
};

use crate::PublishError;
use crate::govern::audit_log::{AuditLog, LogState};
use crate::govern::judged::grounds;
use crate::govern::offers::OfferAt;
use crate::release::routes::{Routes, hops};
use crate::release::sbom::kind;
use crate::report::figures::{Figures, PackFigures, ReceiptSource, ReleaseFigures, Step};
use crate::report::page::Page;
use crate::repository::Repository;
use crate::repository::roles::Roles;

mod chart;
pub(crate) mod figures;
mod heat;
mod page;
mod text;

impl Repository {
    /// Returns a page that tells how the repository stands at the time `now`: its packs and releases,
    /// what they cost to download, what is rolled out, what devices sent, and what was done.
    ///
    /// The page is one file of HTML that refers to nothing outside itself.
    ///
    /// # Errors
    /// [`PublishError`] when the repository cannot be read.
    pub fn report(
        &self,
        now: UtcTime,
        receipts: Option<&dyn ReceiptSource>,
    ) -> Result<String, PublishError> {
        let _span = tracing::info_span!("report").entered();
        let roles = Roles::load(self.storage())?;
        let log = AuditLog::read(self.storage(), &roles, None)?;
        let mut packs = Vec::new();
        for pack in roles.packs() {
            let catalogue = roles.catalogue(self.storage(), &pack)?;
            let Some(catalogue) = catalogue else { continue };
            packs.push(PackFigures {
                rollouts: roles.rollouts(self.storage(), &pack)?,
                releases: catalogue.releases.iter().map(release).collect(),
                downloads: downloads(&catalogue),
                kinds: self.kinds(&catalogue)?,
                steps: steps(&log, &pack),
                receipts: receipts.map_or(Ok(Vec::new()), |receipts| receipts.days(&pack)),
                pack,
            });
        }
        let figures = Figures {
            repository: self.storage().address(),
            now,
            expires: roles.trusted.timestamp().map(|body| body.expires),
            packs,
            log,
            has_receipts: receipts.is_some(),
        };
        Ok(Page::of(&figures))
    }

    fn kinds(&self, catalogue: &Catalogue) -> Result<Vec<(String, u64)>, PublishError> {
        let Some(latest) = catalogue.latest() else {
            return Ok(Vec::new());
        };
        let limits = diff_core::Limits::standard();
        let manifest = self
            .storage()
            .content(&latest.manifest, |bytes| Manifest::decode(bytes, &limits))?;
        let mut kinds: std::collections::BTreeMap<String, u64> = std::collections::BTreeMap::new();
        for entry in manifest.listing().entries() {
            let kind = kind(entry.path.as_str()).to_owned();
            *kinds.entry(kind).or_default() += entry.length;
        }
        let mut kinds: Vec<_> = kinds.into_iter().collect();
        kinds.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        Ok(kinds)
    }
}

fn release(release: &CatalogueRelease) -> ReleaseFigures {
    let mut deltas = release.deltas.iter();
    let archives = release.archives.iter().map(|archive| archive.length);
    let all = release.deltas.iter().map(|delta| delta.content.length);
    ReleaseFigures {
        label: release.label.clone(),
        published: release.published,
        files: release.files,
        tree_bytes: release.tree_bytes,
        first_install: deltas
            .find(|delta| delta.from.is_none())
            .map(|delta| delta.content.length),
        stored_bytes: archives.chain(all).sum(),
        withdrawn: match &release.status {
            ReleaseStatus::Offered => None,
            ReleaseStatus::Withdrawn { reason } => Some(reason.clone()),
        },
    }
}

/// Returns for every release, and for every newer one, what the way from one to the other costs.
fn downloads(catalogue: &Catalogue) -> Vec<Vec<Option<u64>>> {
    let hops = hops(&catalogue.releases);
    let manifests: Vec<Digest> = catalogue
        .releases
        .iter()
        .map(|release| release.manifest.digest)
        .collect();
    let columns: Vec<Routes> = manifests.iter().map(|to| Routes::to(*to, &hops)).collect();
    let row = |(at, from): (usize, &Digest)| {
        let column = |(to, routes): (usize, &Routes)| match to > at {
            true => routes.bytes(Some(*from)),
            false => None,
        };
        columns.iter().enumerate().map(column).collect()
    };
    manifests.iter().enumerate().map(row).collect()
}

fn steps(log: &AuditLog, pack: &PackName) -> Vec<Step> {
    let entry = |number: u64| {
        let mut records = log.records.iter();
        let found = records
            .find(|record| record.entry.number == number && record.state == LogState::InForce);
        found.map(|record| &record.entry)
    };
    let step = |change: OfferAt| {
        let entry = entry(change.entry);
        let reason = entry.and_then(|entry: &LogEntry| entry.subject.reason.clone());
        Step {
            channel: change.rollout.channel,
            time: change.since,
            label: change.rollout.label,
            basis_points: change.rollout.share.basis_points(),
            halted: change.rollout.halted,
            action: change.action,
            reason,
            grounds: entry.map_or_else(Vec::new, |entry| grounds(&entry.told)),
        }
    };
    log.changes_of(pack).into_iter().map(step).collect()
}
