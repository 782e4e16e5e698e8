use std::path::Path;

use diff_core::Digest;
use release_format::{CatalogueRelease, ContentVersion, PackName, UtcTime};
use serde::Serialize;
use updater_client::library::state::{Hold, InstalledRelease, Pin, RefusedRelease};
use updater_client::{
    Check, Damage, Fault, Freshness, HistoryEvent, Hop, LongFile, Offer, Outcome, Plan, Route,
    Ruling, Status, Traffic, Updated, VerifyReport,
};

/// A release on the device.
#[derive(Serialize)]
pub(super) struct ReleaseDocument {
    label: String,
    sequence: u64,
    manifest: Digest,
    content_version: String,
    tree_bytes: u64,
}

impl ReleaseDocument {
    pub(super) fn new(pack: &PackName, release: &InstalledRelease) -> ReleaseDocument {
        let version = ContentVersion {
            pack: pack.clone(),
            label: release.label.clone(),
            manifest: release.manifest,
        };
        ReleaseDocument {
            label: release.label.to_string(),
            sequence: release.sequence,
            manifest: release.manifest,
            content_version: version.to_string(),
            tree_bytes: release.tree_bytes,
        }
    }
}

/// A release that a repository offers.
#[derive(Serialize)]
struct OfferedDocument {
    label: String,
    sequence: u64,
    manifest: Digest,
    files: u64,
    tree_bytes: u64,
}

impl From<&CatalogueRelease> for OfferedDocument {
    fn from(release: &CatalogueRelease) -> OfferedDocument {
        OfferedDocument {
            label: release.label.to_string(),
            sequence: release.sequence,
            manifest: release.manifest.digest,
            files: release.files,
            tree_bytes: release.tree_bytes,
        }
    }
}

#[derive(Serialize)]
struct RouteDocument {
    /// The manifest of the installed release that the route starts from; null for a full download, and
    /// for chunks.
    from: Option<Digest>,
    /// Bytes of all its deltas.
    delta_bytes: u64,
    /// Bytes still to fetch.
    fetch_bytes: u64,
    /// Requests that this takes on a line that holds.
    requests: u64,
    /// Bytes that applying writes anew.
    built_bytes: u64,
    /// The deltas, in the order in which they are applied; none where chunks are fetched.
    hops: Vec<HopDocument>,
    /// Whether the release is put together of what the device holds and of chunks that it fetches.
    chunks: bool,
}

impl From<&Route> for RouteDocument {
    fn from(route: &Route) -> RouteDocument {
        let lengths = route.hops.iter().map(|hop| hop.delta.length);
        RouteDocument {
            from: route.hops.first().and_then(|hop| hop.from),
            delta_bytes: lengths.sum(),
            fetch_bytes: route.fetch_bytes(),
            requests: route.requests(),
            built_bytes: route.built_bytes(),
            hops: route.hops.iter().map(HopDocument::from).collect(),
            chunks: route.chunks.is_some(),
        }
    }
}

/// One delta of a route.
#[derive(Serialize)]
struct HopDocument {
    /// The manifest of the release that it starts from; null for nothing.
    from: Option<Digest>,
    /// The manifest of the release that it makes.
    to: Digest,
    fetch_bytes: u64,
}

impl From<&Hop> for HopDocument {
    fn from(hop: &Hop) -> HopDocument {
        HopDocument {
            from: hop.from,
            to: hop.to,
            fetch_bytes: hop.fetch_bytes,
        }
    }
}

#[derive(Serialize)]
pub(super) struct TrafficDocument {
    requests: u64,
    bytes: u64,
}

impl From<Traffic> for TrafficDocument {
    fn from(traffic: Traffic) -> TrafficDocument {
        TrafficDocument {
            requests: traffic.requests,
            bytes: traffic.bytes,
        }
    }
}

#[derive(Serialize)]
struct FreshnessDocument {
    state: &'static str,
    /// How long ago what was used expired.
    age_seconds: Option<u64>,
    /// The latest moment that is proved to have passed, where the clock is behind it.
    at_least: Option<UtcTime>,
}

impl From<Freshness> for FreshnessDocument {
    fn from(freshness: Freshness) -> FreshnessDocument {
        let (age_seconds, at_least) = match freshness {
            Freshness::Stale { age } => (Some(age.as_secs()), None),
            Freshness::FreshnessUnknown { at_least, .. } => (None, Some(at_least)),
            _ => (None, None),
        };
        FreshnessDocument {
            state: freshness.code(),
            age_seconds,
            at_least,
        }
    }
}

#[derive(Serialize)]
struct PlanDocument {
    #[serde(flatten)]
    route: RouteDocument,
    /// Bytes of files that the release adds for as long as it is kept.
    retained_bytes: u64,
    /// Bytes that have to be free for it.
    needed_bytes: u64,
    /// Other routes, cheapest first, should this one turn out unusable.
    alternatives: Vec<RouteDocument>,
}

impl From<&Plan> for PlanDocument {
    fn from(plan: &Plan) -> PlanDocument {
        PlanDocument {
            route: RouteDocument::from(&plan.route),
            retained_bytes: plan.route.retained_bytes(),
            needed_bytes: plan.route.needed_bytes(),
            alternatives: plan.alternatives.iter().map(RouteDocument::from).collect(),
        }
    }
}

/// One rule that a decision went through.
#[derive(Serialize)]
struct RuleDocument<'a> {
    rule: &'a str,
    /// Whether it lets the release through.
    holds: bool,
    told: &'a str,
}

impl<'a> From<&'a Ruling> for RuleDocument<'a> {
    fn from(ruling: &'a Ruling) -> RuleDocument<'a> {
        RuleDocument {
            rule: ruling.rule,
            holds: ruling.holds,
            told: &ruling.told,
        }
    }
}

/// What `check` prints of one pack.
#[derive(Serialize)]
pub(super) struct CheckDocument<'a> {
    pack: &'a PackName,
    installed: Option<ReleaseDocument>,
    offer: &'static str,
    release: Option<OfferedDocument>,
    reason: Option<String>,
    /// Why the active release is to be left, or null.
    withdrawn: Option<String>,
    /// What this client lacks for a newer release, or null.
    lacking: Option<String>,
    /// The rules that decided, in their order.
    rules: Vec<RuleDocument<'a>>,
    plan: Option<PlanDocument>,
    needed_bytes: u64,
    available_bytes: u64,
    /// A file that the library's file system cannot hold, or null.
    too_long: Option<LongFileDocument<'a>>,
    /// The hold that would keep an update from switching, or null.
    held: Option<HoldDocument>,
    traffic: TrafficDocument,
    freshness: FreshnessDocument,
}

impl<'a> CheckDocument<'a> {
    pub(super) fn new(pack: &'a PackName, check: &'a Check) -> CheckDocument<'a> {
        let (offer, release, reason) = match &check.offer {
            Offer::Current => ("current", None, None),
            Offer::Release(release) => ("release", Some(OfferedDocument::from(release)), None),
            Offer::Shadow(release) => ("shadow", Some(OfferedDocument::from(release)), None),
            Offer::Withheld(why) => ("withheld", None, Some(why.to_string())),
            _ => ("other", None, None),
        };
        CheckDocument {
            pack,
            installed: check
                .installed
                .as_ref()
                .map(|release| ReleaseDocument::new(pack, release)),
            offer,
            release,
            reason,
            withdrawn: check.leaving.as_ref().map(|leaving| leaving.reason.clone()),
            lacking: check.lacking.as_ref().map(ToString::to_string),
            rules: check.rulings.iter().map(RuleDocument::from).collect(),
            plan: check.plan.as_ref().map(PlanDocument::from),
            needed_bytes: check.needed_bytes,
            available_bytes: check.available_bytes,
            too_long: check.too_long.as_ref().map(LongFileDocument::from),
            held: check.held.as_ref().map(HoldDocument::from),
            traffic: check.traffic.into(),
            freshness: check.freshness.into(),
        }
    }
}

#[derive(Serialize)]
struct LongFileDocument<'a> {
    path: &'a str,
    bytes: u64,
    limit_bytes: u64,
}

impl<'a> From<&'a LongFile> for LongFileDocument<'a> {
    fn from(long: &'a LongFile) -> LongFileDocument<'a> {
        LongFileDocument {
            path: &long.path,
            bytes: long.length,
            limit_bytes: long.limit,
        }
    }
}

/// What `update` prints of one pack.
#[derive(Serialize)]
pub(super) struct UpdateDocument<'a> {
    pack: &'a PackName,
    outcome: &'static str,
    /// The release that was activated or staged.
    release: Option<ReleaseDocument>,
    active: Option<ReleaseDocument>,
    reason: Option<String>,
    route: Option<RouteDocument>,
    /// The hold because of which the release was staged only, or null.
    held: Option<HoldDocument>,
    traffic: TrafficDocument,
    freshness: FreshnessDocument,
}

impl<'a> UpdateDocument<'a> {
    pub(super) fn new(
        pack: &'a PackName,
        updated: &Updated,
        status: &Status,
    ) -> UpdateDocument<'a> {
        let (outcome, release, reason) = match &updated.outcome {
            Outcome::Current => ("current", None, None),
            Outcome::Withheld(why) => ("withheld", None, Some(why.to_string())),
            Outcome::Staged(release) => ("staged", Some(release), None),
            Outcome::Shadowed { release, damaged } => {
                let reason = format!("{damaged} files are not as they should be");
                (
                    "shadowed",
                    Some(release),
                    Some(reason).filter(|_| *damaged > 0),
                )
            }
            Outcome::Returned(release) => ("returned", Some(release), None),
            Outcome::Activated(release) => ("activated", Some(release), None),
            _ => ("other", None, None),
        };
        UpdateDocument {
            pack,
            outcome,
            release: release.map(|release| ReleaseDocument::new(pack, release)),
            active: active(pack, status),
            reason,
            route: updated.route.as_ref().map(RouteDocument::from),
            held: updated.held.as_ref().map(HoldDocument::from),
            traffic: updated.traffic.into(),
            freshness: updated.freshness.into(),
        }
    }
}

/// What `confirm`, `fail` and `revert` print.
#[derive(Serialize)]
pub(super) struct EndedDocument<'a> {
    pack: &'a PackName,
    outcome: &'static str,
    active: Option<ReleaseDocument>,
}

impl<'a> EndedDocument<'a> {
    pub(super) fn new(
        pack: &'a PackName,
        outcome: &'static str,
        status: &Status,
    ) -> EndedDocument<'a> {
        EndedDocument {
            pack,
            outcome,
            active: active(pack, status),
        }
    }
}

/// A hold on a pack.
#[derive(Serialize)]
pub(super) struct HoldDocument {
    reason: String,
    since: UtcTime,
    until: UtcTime,
}

impl From<&Hold> for HoldDocument {
    fn from(hold: &Hold) -> HoldDocument {
        HoldDocument {
            reason: hold.reason.clone(),
            since: hold.since,
            until: hold.until,
        }
    }
}

/// A release that is pinned.
#[derive(Serialize)]
pub(super) struct PinDocument {
    #[serde(flatten)]
    release: ReleaseDocument,
    /// Whether the device stays on it.
    stays: bool,
}

impl PinDocument {
    pub(super) fn new(pack: &PackName, pin: &Pin) -> PinDocument {
        PinDocument {
            release: ReleaseDocument::new(pack, &pin.release),
            stays: pin.stays,
        }
    }
}

#[derive(Serialize)]
struct TrialDocument {
    openings: u32,
    allowed_openings: u32,
}

#[derive(Serialize)]
struct RefusedDocument {
    label: String,
    sequence: u64,
    manifest: Digest,
    reason: String,
}

impl From<&RefusedRelease> for RefusedDocument {
    fn from(refused: &RefusedRelease) -> RefusedDocument {
        RefusedDocument {
            label: refused.label.to_string(),
            sequence: refused.sequence,
            manifest: refused.manifest,
            reason: refused.reason.clone(),
        }
    }
}

/// What `status` prints of one pack.
#[derive(Serialize)]
pub(super) struct StatusDocument<'a> {
    pack: &'a PackName,
    active: Option<ReleaseDocument>,
    /// Null when the active release is confirmed.
    trial: Option<TrialDocument>,
    fallback: Option<ReleaseDocument>,
    refused: Vec<RefusedDocument>,
    /// What the next update switches to without fetching it.
    staged: Option<ReleaseDocument>,
    pins: Vec<PinDocument>,
    /// The hold in force that lasts the longest, or null.
    held: Option<HoldDocument>,
    /// The folders' names of the releases that somebody has open.
    leased: &'a [String],
    path: Option<&'a Path>,
    damage: Option<&'a str>,
    /// With `--history` alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<Vec<EventDocument>>,
}

/// One thing that became of a pack.
#[derive(Serialize)]
struct EventDocument {
    time: UtcTime,
    event: &'static str,
    content_version: String,
    release: ReleaseDocument,
    /// What was active before, or is since.
    other: Option<ReleaseDocument>,
    reason: Option<String>,
}

impl EventDocument {
    fn new(pack: &PackName, event: &HistoryEvent) -> EventDocument {
        let other = event.other.as_ref();
        EventDocument {
            time: event.time,
            event: event.kind.code(),
            content_version: event.content_version(pack).to_string(),
            release: ReleaseDocument::new(pack, &event.release),
            other: other.map(|other| ReleaseDocument::new(pack, other)),
            reason: event.reason.clone(),
        }
    }
}

impl<'a> StatusDocument<'a> {
    pub(super) fn new(
        pack: &'a PackName,
        status: &'a Status,
        history: Option<&[HistoryEvent]>,
    ) -> StatusDocument<'a> {
        let record = &status.record;
        StatusDocument {
            pack,
            active: active(pack, status),
            trial: record.trial().map(|trial| TrialDocument {
                openings: trial.openings,
                allowed_openings: trial.allowed,
            }),
            fallback: record
                .fallback()
                .map(|release| ReleaseDocument::new(pack, release)),
            refused: record.refused().iter().map(RefusedDocument::from).collect(),
            staged: record
                .staged()
                .map(|release| ReleaseDocument::new(pack, release)),
            pins: record
                .pins()
                .iter()
                .map(|pin| PinDocument::new(pack, pin))
                .collect(),
            held: status.held.as_ref().map(HoldDocument::from),
            leased: &status.leased,
            path: status.tree.as_deref(),
            damage: status.damage.as_deref(),
            history: history.map(|events| {
                let events = events.iter();
                events
                    .map(|event| EventDocument::new(pack, event))
                    .collect()
            }),
        }
    }
}

#[derive(Serialize)]
pub(super) struct DamageDocument<'a> {
    path: &'a str,
    fault: &'static str,
    message: String,
}

impl<'a> From<&'a Damage> for DamageDocument<'a> {
    fn from(damage: &'a Damage) -> DamageDocument<'a> {
        DamageDocument {
            path: &damage.path,
            fault: match damage.fault {
                Fault::Missing => "missing",
                Fault::Length { .. } => "length",
                Fault::Content { .. } => "content",
                Fault::Unreadable { .. } => "unreadable",
                Fault::Extra => "extra",
                _ => "other",
            },
            message: damage.fault.to_string(),
        }
    }
}

/// What `verify` prints of one pack.
#[derive(Serialize)]
pub(super) struct VerifyDocument<'a> {
    pack: &'a PackName,
    /// Whether the active release is, and all others that are needed.
    sound: bool,
    files: u64,
    bytes: u64,
    damage: Vec<DamageDocument<'a>>,
    /// The fallback, what is staged and what is pinned.
    others: Vec<OtherDocument<'a>>,
}

#[derive(Serialize)]
struct OtherDocument<'a> {
    label: &'a str,
    manifest: Digest,
    sound: bool,
    files: u64,
    bytes: u64,
    damage: Vec<DamageDocument<'a>>,
}

/// The releases of a pack and what comparing them found, the active one first.
pub(super) type Reports = [(InstalledRelease, VerifyReport)];

impl<'a> VerifyDocument<'a> {
    pub(super) fn new(pack: &'a PackName, reports: &'a Reports) -> VerifyDocument<'a> {
        let active = reports.first().map(|(_, report)| report);
        VerifyDocument {
            pack,
            sound: reports.iter().all(|(_, report)| report.is_sound()),
            files: active.map_or(0, |report| report.files),
            bytes: active.map_or(0, |report| report.bytes),
            damage: active
                .iter()
                .flat_map(|report| &report.damage)
                .map(DamageDocument::from)
                .collect(),
            others: reports
                .iter()
                .skip(1)
                .map(|(release, report)| OtherDocument {
                    label: release.label.as_str(),
                    manifest: release.manifest,
                    sound: report.is_sound(),
                    files: report.files,
                    bytes: report.bytes,
                    damage: report.damage.iter().map(DamageDocument::from).collect(),
                })
                .collect(),
        }
    }
}

fn active(pack: &PackName, status: &Status) -> Option<ReleaseDocument> {
    status
        .record
        .active()
        .map(|release| ReleaseDocument::new(pack, release))
}
