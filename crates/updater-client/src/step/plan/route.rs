use diff_core::Digest;
use release_format::ContentReference;

/// A way to the offered release: deltas that lead there from something that the device holds or from
/// nothing, or the chunks that are nowhere on the device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The deltas, in the order in which they are applied; none where chunks are fetched.
    pub hops: Vec<Hop>,
    /// What the missing chunks cost, where the release is put together of chunks.
    pub chunks: Option<ChunkWay>,
    /// Bytes of unchanged files that are copied: none where the library's disk can share them.
    pub copied_bytes: u64,
    /// Bytes of the release's manifest.
    pub manifest_bytes: u64,
    /// Room for what the file system rounds up, and for folders and records.
    pub slack_bytes: u64,
}

/// One delta of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hop {
    /// The manifest digest of the release that it starts from; `None` for nothing.
    pub from: Option<Digest>,
    /// The manifest digest of the release that it makes.
    pub to: Digest,
    /// The delta.
    pub delta: ContentReference,
    /// Bytes still to fetch: the delta's length less what an earlier attempt left.
    pub fetch_bytes: u64,
    /// Bytes of files that applying it writes.
    pub built_bytes: u64,
}

/// A release put together of files and chunks that the device holds, and of chunks that it fetches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkWay {
    /// Bytes still to fetch, as they travel.
    pub fetch_bytes: u64,
    /// Requests that this takes on a line that holds.
    pub requests: u64,
    /// Bytes of the files that no release on the device has.
    pub built_bytes: u64,
}

impl Route {
    /// Returns how many bytes are still to fetch.
    pub fn fetch_bytes(&self) -> u64 {
        let chunks = self.chunks.map(|chunks| chunks.fetch_bytes);
        sum(self.hops.iter().map(|hop| hop.fetch_bytes).chain(chunks))
    }

    /// Returns how many requests that takes on a line that holds.
    pub fn requests(&self) -> u64 {
        let fetched = self.hops.iter().filter(|hop| hop.fetch_bytes > 0);
        let chunks = self.chunks.map_or(0, |chunks| chunks.requests);
        chunks.saturating_add(fetched.count() as u64)
    }

    /// Returns how many bytes of files are written on the way, those of releases in between included.
    pub fn built_bytes(&self) -> u64 {
        let chunks = self.chunks.map(|chunks| chunks.built_bytes);
        sum(self.hops.iter().map(|hop| hop.built_bytes).chain(chunks))
    }

    /// Returns how many bytes must be free before the first byte is fetched: what is still to fetch,
    /// every file that is written, and the records.
    ///
    /// It is exact but for [`Route::slack_bytes`], at most a block for each file.
    pub fn needed_bytes(&self) -> u64 {
        let kept = self.manifest_bytes.saturating_add(self.slack_bytes);
        let written = self.built_bytes().saturating_add(self.copied_bytes);
        self.fetch_bytes()
            .saturating_add(written)
            .saturating_add(kept)
    }

    /// Returns how many bytes of files the release adds at most for as long as it is kept; the deltas
    /// are gone by then.
    pub fn retained_bytes(&self) -> u64 {
        let written = self.built_bytes().saturating_add(self.copied_bytes);
        written.saturating_add(self.manifest_bytes)
    }

    /// Whether the route fetches the release whole.
    pub fn is_full(&self) -> bool {
        self.hops.first().is_some_and(|hop| hop.from.is_none())
    }

    /// What routes are compared by: bytes first, then requests, then what is to be computed.
    pub(crate) fn cost(&self) -> (u64, u64, u64) {
        (self.fetch_bytes(), self.requests(), self.built_bytes())
    }
}

fn sum(bytes: impl Iterator<Item = u64>) -> u64 {
    bytes.fold(0, u64::saturating_add)
}
