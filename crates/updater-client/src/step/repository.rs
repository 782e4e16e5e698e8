use release_format::{
    ListedPatch, Lookup, MetaFile, MetadataRequest, OfflineGrace, Refreshed, TargetEntry,
    TargetFile, Timestamp, TrustError, TrustedSet, UtcTime, Verified,
};

use crate::UpdateError;
use crate::library::trust_store::TrustStore;
use crate::step::document::Documents;
use crate::step::freshness::Freshness;
use crate::time_floor::TimeFloor;
use crate::transport::TransportError;

/// What a mirror says, as far as it is trusted: the client workflow of The Update Framework over a
/// mirror, a store and a given time.
///
/// It knows nothing of packs: any repository of the framework can be followed with it. Whatever is
/// trusted is stored before anything is done on the strength of it.
pub struct TrustedRepository<'a> {
    trusted: TrustedSet,
    documents: &'a Documents<'a>,
    store: TrustStore<'a>,
    /// What the clock showed when the update began.
    clock: UtcTime,
    floor: TimeFloor,
    /// The time that counts.
    now: UtcTime,
    /// Whether what is trusted for now may turn out not to be, and must not be stored.
    is_provisional: bool,
}

impl<'a> TrustedRepository<'a> {
    /// Returns the repository as far as it is stored; nothing is fetched yet.
    ///
    /// `clock` is what the clock shows, read once: everything in one update is judged by one time.
    ///
    /// # Errors
    /// As [`TrustStore::load`].
    pub fn load(
        mut store: TrustStore<'a>,
        documents: &'a Documents<'a>,
        clock: UtcTime,
        floor: TimeFloor,
    ) -> Result<TrustedRepository<'a>, UpdateError> {
        let trusted = store.load()?;
        let now = floor.by(&trusted).max(clock);
        Ok(TrustedRepository {
            trusted,
            documents,
            store,
            clock,
            floor,
            now,
            is_provisional: false,
        })
    }

    /// Follows the chain of roots to its end, then brings the timestamp, the snapshot and the targets
    /// up to date.
    ///
    /// # Errors
    /// [`UpdateError::Trust`] for what is refused, [`UpdateError::Transport`] for what did not arrive;
    /// what was trusted before stays, and what was trusted on the way is kept.
    pub fn refresh(&mut self) -> Result<(), UpdateError> {
        self.follow_roots()?;
        // The newer roots may be those that the stored files were signed under.
        self.store.recall(&mut self.trusted)?;
        self.settle_time();
        self.follow_snapshot()
    }

    fn follow_roots(&mut self) -> Result<(), UpdateError> {
        loop {
            match self.fetch_metadata(&self.trusted.root_request()) {
                Ok(root) => self.trusted.update_root(&root)?,
                Err(failed) if is_end_of_chain(&failed) => return Ok(()),
                Err(failed) => return Err(failed),
            }
            self.keep()?;
        }
    }

    fn follow_snapshot(&mut self) -> Result<(), UpdateError> {
        let timestamp = self.fetch_metadata(&self.trusted.timestamp_request())?;
        if self.trusted.update_timestamp(&timestamp, self.now)? == Refreshed::Newer {
            self.keep()?;
        }
        // It may prove that it is later than the clock says.
        self.settle_time();
        if let Some(request) = self.trusted.snapshot_request()? {
            let named = self.trusted.timestamp().and_then(Timestamp::snapshot);
            let held = self.trusted.file("snapshot");
            let snapshot = self.fetch_named(&request, (named, held))?;
            self.trusted.update_snapshot(&snapshot, self.now)?;
            self.keep()?;
        }
        if let Some(request) = self.trusted.targets_request()? {
            self.follow_role(&request)?;
        }
        self.settle_time();
        Ok(())
    }

    /// Trusts a targets role: the file that is stored, if it is the one, else the mirror's.
    fn follow_role(&mut self, request: &MetadataRequest) -> Result<(), UpdateError> {
        if let Some(stored) = self.store.stored(request)?
            && self
                .trusted
                .update_targets(request, &stored, self.now)
                .is_ok()
        {
            return Ok(());
        }
        let held = self.store.held_role(request);
        let snapshot = self.trusted.snapshot();
        let listed = snapshot.and_then(|snapshot| snapshot.role(&request.role));
        let role = self.fetch_named(request, (listed, held.as_deref()))?;
        self.trusted.update_targets(request, &role, self.now)?;
        self.keep()
    }

    /// Returns what the role that may speak for `path` says of it, if any role does; roles are
    /// fetched when the search comes to them.
    ///
    /// # Errors
    /// As [`TrustedRepository::refresh`], which comes first.
    pub fn find(&mut self, path: &str) -> Result<Option<TargetFile>, UpdateError> {
        loop {
            match self.trusted.lookup(path)? {
                Lookup::Found(target) => return Ok(Some(target)),
                Lookup::Needs(request) => self.follow_role(&request)?,
                Lookup::Absent => return Ok(None),
            }
        }
    }

    /// Returns the bytes of a target, compared with what is trusted of them.
    ///
    /// # Errors
    /// [`UpdateError::Trust`] for a target that is too long or another one;
    /// [`UpdateError::Transport`].
    pub fn fetch(&self, target: &TargetFile) -> Result<Verified<Vec<u8>>, UpdateError> {
        let limit = self.trusted.limits().target_bytes;
        if target.length() > limit {
            return Err(UpdateError::Trust(TrustError::TooLong {
                role: target.path.clone(),
                length: target.length(),
                limit,
            }));
        }
        // Between two releases a device asks for what is new and gets nothing: not these either.
        let kept = self.store.kept_target(&target.path);
        if let Some(kept) = kept.as_deref()
            && let Ok(verified) = self.trusted.verify_target(target, kept.to_vec())
        {
            self.store
                .keep_for_neighbours(target.entry.sha256(), &verified);
            return Ok(verified);
        }
        let patches = target.entry.patches();
        let sha256 = target.entry.sha256().unwrap_or_default();
        let listed = patches.shortest(kept.as_deref(), (sha256, target.length()));
        if let Some(bytes) = self.led_to(listed, target.length())?
            && let Ok(verified) = self.trusted.verify_target(target, bytes)
        {
            self.store.keep_target(&target.path, &verified);
            self.store
                .keep_for_neighbours(target.entry.sha256(), &verified);
            return Ok(verified);
        }
        let bytes = self.documents.fetch(&target.location, target.length())?;
        let is_page = is_page(&bytes);
        match self.trusted.verify_target(target, bytes) {
            Err(_) if is_page => Err(self.documents.captive_portal(&target.location).into()),
            verified => {
                let verified = verified?;
                self.store.keep_target(&target.path, &verified);
                self.store
                    .keep_for_neighbours(target.entry.sha256(), &verified);
                Ok(verified)
            }
        }
    }

    /// Goes on with what has expired, if the tenant who vouches for `path` has signed that devices may
    /// for so long: the timestamp, the snapshot, and what the tenant's own online key signs.
    ///
    /// Tells whether that is so. Where it is not, everything is as it was.
    ///
    /// # Errors
    /// What else is wrong: versions, digests, thresholds and paths are judged as ever.
    pub fn tolerate_expired(&mut self, path: &str) -> Result<bool, UpdateError> {
        let strict = self.trusted.clone();
        self.is_provisional = true;
        let granted = self.find_grace(path);
        self.is_provisional = false;
        match granted {
            Ok(Some(grace)) => {
                self.trusted.set_grace(Some(grace));
                self.keep()?;
                Ok(true)
            }
            refused => {
                self.trusted = strict;
                refused.map(|_| false)
            }
        }
    }

    /// Searches for the grace as if all had the longest, and takes it only if it reaches to now.
    fn find_grace(&mut self, path: &str) -> Result<Option<OfflineGrace>, UpdateError> {
        let longest = self.trusted.limits().offline_grace_days;
        self.trusted
            .set_grace(Some(OfflineGrace::of_anybody(longest)));
        self.follow_snapshot()?;
        let Some(target) = self.find(path)? else {
            return Ok(None);
        };
        Ok(self.trusted.grace_of(&target.role, self.now))
    }

    /// Returns how current what is trusted is.
    pub fn freshness(&self) -> Freshness {
        let floor = self.floor.by(&self.trusted);
        Freshness::of(&self.trusted, self.now, self.clock, floor)
    }

    /// Returns what is trusted.
    pub fn trusted(&self) -> &TrustedSet {
        &self.trusted
    }

    /// Returns the time that counts: the clock's, unless it is proved to be later.
    pub fn now(&self) -> UtcTime {
        self.now
    }

    fn settle_time(&mut self) {
        self.now = self.floor.by(&self.trusted).max(self.clock);
        self.trusted.judge_at(self.now);
    }

    fn keep(&mut self) -> Result<(), UpdateError> {
        if self.is_provisional {
            return Ok(());
        }
        self.store.store(&self.trusted)
    }

    /// Returns a file that trusted metadata names, over a patch where one leads to the very file.
    fn fetch_named(
        &self,
        request: &MetadataRequest,
        (named, held): (Option<&MetaFile>, Option<&[u8]>),
    ) -> Result<Vec<u8>, UpdateError> {
        if let Some(named) = named
            && let (Some(sha256), Some(length)) = (named.sha256(), named.length)
            && length <= request.limit
        {
            let listed = named.patches.shortest(held, (sha256, length));
            if let Some(bytes) = self.led_to(listed, length)?
                && TargetEntry::of(&bytes).sha256() == Some(sha256)
            {
                return Ok(bytes);
            }
        }
        self.fetch_metadata(request)
    }

    /// Returns what a patch leads to, if anything; nothing is known of it but its length.
    fn led_to(
        &self,
        listed: Option<ListedPatch<'_>>,
        length: u64,
    ) -> Result<Option<Vec<u8>>, UpdateError> {
        let Some(listed) = listed else {
            return Ok(None);
        };
        let bytes = self.documents.attempt(&listed.location, listed.length)?;
        Ok(bytes.and_then(|bytes| listed.patch.apply(&bytes, length).ok()))
    }

    fn fetch_metadata(&self, request: &MetadataRequest) -> Result<Vec<u8>, UpdateError> {
        let bytes = self.documents.fetch(&request.location, request.limit)?;
        if is_page(&bytes) {
            return Err(self.documents.captive_portal(&request.location).into());
        }
        Ok(bytes)
    }
}

/// Buckets that do not let anybody list them answer 403 for what they do not have.
fn is_end_of_chain(failed: &UpdateError) -> bool {
    matches!(
        failed,
        UpdateError::Transport(TransportError::Absent { .. } | TransportError::Forbidden { .. })
    )
}

/// No document begins so; a network that wants a login first answers everything so.
fn is_page(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().starts_with(b"<")
}
