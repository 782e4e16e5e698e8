use diff_core::Digest;
use release_format::{CatalogueRelease, ContentReference, Language, PackName, Verified};

use super::Updater;
use crate::UpdateError;
use crate::event::Event;
use crate::library::notes::{KeptNotes, Notes};
use crate::step::fetch::Fetcher;

impl Updater {
    /// Returns the notes of the active release of `pack`, in the language that serves somebody best who
    /// reads `languages`, the dearest first: needs no network.
    ///
    /// Who reads none of the languages that there are gets the publisher's first. Nothing where a
    /// release has no notes.
    ///
    /// # Errors
    /// [`UpdateError::NotInstalled`]; [`UpdateError::Damaged`].
    pub fn notes(
        &self,
        pack: &PackName,
        languages: &[Language],
    ) -> Result<Option<Notes>, UpdateError> {
        let record = self.store(pack).load()?.record;
        let Some(active) = record.active() else {
            return Err(UpdateError::NotInstalled { pack: pack.clone() });
        };
        let kept = self.kept_notes(pack, &active.manifest)?;
        Ok(kept.and_then(|kept| kept.best(languages)))
    }

    fn kept_notes(
        &self,
        pack: &PackName,
        manifest: &Digest,
    ) -> Result<Option<KeptNotes>, UpdateError> {
        let path = self.layout.notes(pack, manifest);
        let bytes = self.disk().read(&path, KeptNotes::MAX_BYTES)?;
        bytes
            .map(|bytes| KeptNotes::decode(&bytes, manifest).map_err(|damage| damage.at(&path)))
            .transpose()
    }

    /// Fetches a release's notes and keeps them, before it is active; what stands in the way of that
    /// stands in the way of no lesson, and is told.
    pub(super) fn keep_notes(
        &self,
        pack: &PackName,
        release: &CatalogueRelease,
        (fetcher, budget): (&Fetcher<'_>, Option<u64>),
    ) -> Result<(), UpdateError> {
        let manifest = &release.manifest.digest;
        let bytes: u64 = release.texts().map(|text| text.length).sum();
        let is_there = matches!(self.kept_notes(pack, manifest), Ok(Some(_)));
        if bytes == 0 || is_there {
            return Ok(());
        }
        let kept = if budget.is_some_and(|budget| bytes > budget) {
            Err(UpdateError::OverBudget {
                needed: bytes,
                budget: budget.unwrap_or(0),
            })
        } else {
            self.fetch_notes(pack, release, fetcher)
        };
        match kept {
            Err(UpdateError::Cancelled) => Err(UpdateError::Cancelled),
            Err(failed) => {
                let (pack, reason) = (pack.clone(), failed.to_string());
                tracing::warn!(%pack, %reason, "notes.missing");
                self.observer().event(&Event::NotesMissing { pack, reason });
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    fn fetch_notes(
        &self,
        pack: &PackName,
        release: &CatalogueRelease,
        fetcher: &Fetcher<'_>,
    ) -> Result<(), UpdateError> {
        let manifest = &release.manifest.digest;
        let mut kept = KeptNotes::of(*manifest);
        let mut total = 0_u64;
        let mut fetch = |reference: &ContentReference| {
            total = total.saturating_add(reference.length);
            if total > MAX_BYTES {
                return Err(UpdateError::OverBudget {
                    needed: total,
                    budget: MAX_BYTES,
                });
            }
            let documents = fetcher.documents();
            let bytes = documents.fetch(&reference.location(), reference.length)?;
            let verified = Verified::new(bytes, reference)?;
            Ok::<String, UpdateError>(String::from_utf8_lossy(verified.get()).into_owned())
        };
        for (language, reference) in &release.translations {
            kept.translations
                .insert(language.clone(), fetch(reference)?);
        }
        if let Some(reference) = &release.notes {
            let mut there = release.translations.iter();
            let same = there.find(|(_, translation)| *translation == reference);
            let same = same.and_then(|(language, _)| kept.translations.get(language).cloned());
            kept.plain = Some(match same {
                Some(text) => text,
                None => fetch(reference)?,
            });
        }
        let path = self.layout.notes(pack, manifest);
        let folder = self.layout.all_notes(pack);
        self.disk().create_dirs(self.layout.root(), &folder)?;
        self.disk().write_durably(&path, &kept.encode())?;
        self.drop_notes(pack, manifest)
    }

    /// Removes the notes of releases that nothing refers to any more.
    fn drop_notes(&self, pack: &PackName, next: &Digest) -> Result<(), UpdateError> {
        let record = self.store(pack).load()?.record;
        let named = record.named();
        let named = named.iter().map(|release| &release.manifest);
        let kept: Vec<String> = named.chain([next]).map(Digest::short).collect();
        let folder = self.layout.all_notes(pack);
        for entry in self.disk().list(&folder)? {
            let name = entry.name.to_string_lossy();
            if !kept.iter().any(|kept| **kept == *name) {
                self.disk().remove_file(&folder.join(&entry.name))?;
            }
        }
        Ok(())
    }
}

/// Of all languages together: more is no note.
const MAX_BYTES: u64 = 8 << 20;
