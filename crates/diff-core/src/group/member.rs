/// One file of a draft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    /// The file's index in the new listing.
    pub(crate) file: usize,
    /// How many bytes it has.
    pub(crate) length: u64,
    /// How many it has once it is opened.
    pub(crate) opened_bytes: u64,
    /// Whether it looks compressed even so.
    pub(crate) is_closed: bool,
    /// The old files that it resembles, the closest first.
    pub(crate) counterparts: Vec<usize>,
    /// Bytes of a pixel, where it is an image.
    pub(crate) pixel: Option<usize>,
    /// Whether it shares most of itself with others that are to be built.
    pub(crate) is_alike: bool,
    /// The hashes of what it has and its counterparts have not.
    pub(crate) novel: Vec<u32>,
}

impl Member {
    /// Whether nothing is known that it could be made of.
    pub(crate) fn is_noise(&self) -> bool {
        self.is_closed && self.counterparts.is_empty()
    }
}
