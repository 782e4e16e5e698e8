use crate::ContentPath;
use crate::method::Method;

/// Where the bytes of a delta went.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct DeltaStats {
    /// Bytes of the whole delta.
    pub delta_bytes: u64,
    /// Bytes of its frames; the files' shares add up to them.
    pub frame_bytes: u64,
    /// Bytes of the rest: header, plan and trailer.
    pub plan_bytes: u64,
    /// The built files, in the order of the new listing.
    pub files: Vec<BuiltFile>,
}

/// What one built file costs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BuiltFile {
    /// The file.
    pub path: ContentPath,
    /// Bytes that are written for it.
    pub length: u64,
    /// Its share of the delta's frames in bytes: what was written for its instructions and its content by
    /// method `solid`; its share by length of frames of other methods.
    pub encoded_bytes: u64,
    /// Bytes of it that stand in its group's content, compressed streams opened.
    pub opened_bytes: u64,
    /// Bytes of it that are copied from old files without being decoded.
    pub copied_bytes: u64,
    /// Its compressed streams.
    pub streams: StreamCounts,
    /// Bytes of the recipes that rebuild its streams, before they are coded.
    pub recipe_bytes: u64,
    /// The methods of its frames, each once, in their order.
    pub methods: Vec<Method>,
    /// The old files that it is coded against, the closest first.
    pub counterparts: Vec<ContentPath>,
    /// How many files share its frames, itself included.
    pub group_files: usize,
}

/// What became of the compressed streams of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct StreamCounts {
    /// They are opened, and rebuilt by a recipe.
    pub opened: u64,
    /// They are copied from an old file as they are.
    pub copied: u64,
    /// They stay as they are, since no recipe would pay.
    pub closed: u64,
}
