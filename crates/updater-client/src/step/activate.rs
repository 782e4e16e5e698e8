use release_format::UtcTime;

use crate::UpdateError;
use crate::event::{Event, Observer};
use crate::library::state::{Began, Ending, Hold, InstalledRelease, StateRecord, StateStore};

/// Makes `release`, which lies ready as the tree with the number `copy`, the active one, on trial: the
/// one write after which learners get it. Returns the hold that keeps it from that, if there is one.
pub(crate) fn activate(
    store: StateStore<'_>,
    (release, copy): (InstalledRelease, u32),
    leaving: Option<&str>,
    now: UtcTime,
    (began, ending): (Option<Began>, &Ending<'_>),
    observer: &dyn Observer,
) -> Result<Option<Hold>, UpdateError> {
    let label = release.label.clone();
    let mut held = None;
    // Judged under the record's lock: a hold that was answered is kept to.
    let change = store.change(|record| {
        held = record.held_at(now).cloned();
        match held {
            Some(_) => record.stage(release, copy),
            None => {
                let next = record.with_copy(&release.manifest, copy);
                let next = match leaving {
                    Some(reason) => next.leave(release, StateRecord::OPENINGS, reason)?,
                    None => next.activate(release, StateRecord::OPENINGS)?,
                };
                Ok(next.begun(began).telling(record, ending))
            }
        }
    })?;
    if held.is_none() {
        observer.event(&Event::Activated {
            pack: change.after.pack().clone(),
            label,
            on_trial: change.after.trial().is_some(),
        });
    }
    Ok(held)
}
