use release_format::{Label, PackName};

/// What happens while the client works, told to an [`Observer`].
///
/// Amounts are bytes; a total never shrinks within one step.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Something that an interrupted run left was finished or undone.
    Recovered {
        /// What was done, in one sentence.
        what: String,
    },
    /// A receipt could not be put into the outbox yet; the state record keeps what it is to say.
    Unreported {
        /// Why.
        reason: String,
    },
    /// The receipts that wait were handed over at the end of an update.
    Reported {
        /// To whom.
        to: String,
        /// How many arrived.
        accepted: u64,
        /// How many wait still.
        waiting: u64,
    },
    /// The receipts that wait could not be handed over at the end of an update; they wait on.
    NotReported {
        /// To whom.
        to: String,
        /// Why.
        reason: String,
    },
    /// The repository is asked what it offers.
    Checking {
        /// The pack that is asked for.
        pack: PackName,
    },
    /// Content arrives.
    Fetching {
        /// Bytes that are here, those of earlier attempts included.
        received: u64,
        /// Bytes of the whole.
        total: u64,
    },
    /// The notes of a release could not be had; it is installed without them.
    NotesMissing {
        /// The pack.
        pack: PackName,
        /// Why.
        reason: String,
    },
    /// A way to the release turned out unusable, and the next one is taken.
    RouteAbandoned {
        /// The pack.
        pack: PackName,
        /// What was wrong with it.
        reason: String,
    },
    /// The release is rebuilt beside the others.
    Staging {
        /// Bytes rebuilt.
        done: u64,
        /// Bytes to rebuild.
        total: u64,
    },
    /// What was written is being made durable, which may take a while on a slow disk.
    Syncing,
    /// Files are compared with their digests.
    Verifying {
        /// Bytes compared.
        done: u64,
        /// Bytes to compare.
        total: u64,
    },
    /// Files that are damaged are fetched anew.
    Healing {
        /// Bytes of files that are here.
        done: u64,
        /// Bytes of all that are fetched.
        total: u64,
    },
    /// A release was rebuilt and compared with its manifest, and is not to become active.
    Shadowed {
        /// The pack.
        pack: PackName,
        /// The release.
        label: Label,
        /// How many of its files are not as they should be.
        damaged: u64,
    },
    /// A release became the active one.
    Activated {
        /// The pack.
        pack: PackName,
        /// Its release that is active from now on.
        label: Label,
        /// Whether it has to be confirmed.
        on_trial: bool,
    },
    /// A trial ended well.
    Confirmed {
        /// The pack.
        pack: PackName,
        /// Its release that stays.
        label: Label,
    },
    /// A release was left for the one before it.
    Reverted {
        /// The pack.
        pack: PackName,
        /// Its release that was left.
        from: Label,
        /// The release that is active again; `None` when there was none before.
        to: Option<Label>,
        /// Why.
        reason: String,
    },
}

/// Hears of every [`Event`]; called from any thread, and waited for, so it should return at once.
pub trait Observer: Send + Sync {
    /// Hears of `event`.
    fn event(&self, event: &Event);
}

/// An [`Observer`] that looks away.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn event(&self, _event: &Event) {}
}

impl<F: Fn(&Event) + Send + Sync> Observer for F {
    fn event(&self, event: &Event) {
        self(event);
    }
}
