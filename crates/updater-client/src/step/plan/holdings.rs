use std::collections::BTreeSet;

use diff_core::Digest;

/// What a device brings to a plan.
pub(crate) struct Holdings<'a> {
    /// Manifest digests of the releases of the pack that are installed.
    pub(crate) releases: &'a [Digest],
    /// Names of the delta methods that this client can apply.
    pub(crate) methods: &'a [&'a str],
    /// Tells how many bytes of some content an earlier attempt left in the library.
    pub(crate) partial_bytes: &'a dyn Fn(&Digest) -> u64,
    /// Whether the library's disk can give a file a second name without copying it.
    pub(crate) links: bool,
    /// Bytes that are free.
    pub(crate) available_bytes: u64,
    /// What turned out to be of no use.
    pub(crate) unusable: &'a Unusable,
}

/// What turned out to be of no use on the way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Unusable {
    /// Deltas that are missing or wrong, by the digests of their content.
    pub(crate) deltas: BTreeSet<Digest>,
    /// Installed releases that are damaged, by their manifests.
    pub(crate) releases: BTreeSet<Digest>,
    /// Whether the way over chunks is.
    pub(crate) chunks: bool,
}
