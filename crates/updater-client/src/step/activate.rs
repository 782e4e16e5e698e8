use crate::UpdateError;
use crate::event::{Event, Observer};
use crate::library::state::{InstalledRelease, StateRecord, StateStore};

/// Makes `release` the active one, on trial: the one write after which learners get it.
pub(crate) fn activate(
    store: StateStore<'_>,
    release: InstalledRelease,
    observer: &dyn Observer,
) -> Result<(), UpdateError> {
    let label = release.label.clone();
    let change = store
        .sparing()
        .change(|record| record.activate(release, StateRecord::OPENINGS))?;
    observer.event(&Event::Activated {
        pack: change.after.pack().clone(),
        label,
        on_trial: change.after.trial().is_some(),
    });
    Ok(())
}
