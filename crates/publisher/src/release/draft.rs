use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use diff_core::{CancelToken, Contents, Digest, FolderContents, Limits, Listing, Tree};
use release_format::{
    Catalogue, CatalogueDelta, CatalogueRelease, ChunkMap, ContentReference, Label, Language,
    Manifest, PackName, ReleaseStatus, UtcTime,
};

use crate::PublishError;
use crate::progress::{PublishProgress, Stage};
use crate::release::chunking::{Chunker, KnownChunks};
use crate::release::delta_build::{BuiltDelta, DeltaBuilder, DeltaSettings, OldTree};
use crate::release::delta_policy::{DeltaFrom, pays, spares};
use crate::release::earlier::EarlierTree;
use crate::release::routes::{self, Routes};
use crate::release::{provenance, sbom};
use crate::storage::{Source, Storage};

/// A release before it is signed: every byte of it is made, and nothing refers to it yet.
pub(crate) struct Draft {
    /// Its line in the catalogue.
    pub(crate) release: CatalogueRelease,
    /// Its manifest.
    pub(crate) manifest: Manifest,
    /// The deltas that were built, kept or not.
    pub(crate) deltas: Vec<DeltaReport>,
    /// What people should hear of.
    pub(crate) warnings: Vec<String>,
    pieces: Vec<Piece>,
}

/// What one older release will download to get a new one by delta.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeltaReport {
    /// The older release; none for a first install.
    pub from: Option<Label>,
    /// The length of the delta.
    pub bytes: u64,
    /// Bytes that applying it writes anew.
    pub built_bytes: u64,
    /// Whether it is published: a delta that saves too little over the one from nothing is not.
    pub is_published: bool,
}

/// One file of the release for `content/`.
struct Piece {
    reference: ContentReference,
    place: PiecePlace,
}

enum PiecePlace {
    Memory(Vec<u8>),
    Scratch(PathBuf),
}

impl Draft {
    /// Writes every file of the release into `storage`, each under its digest.
    pub(crate) fn store(&self, storage: &dyn Storage) -> Result<(), PublishError> {
        let mut files = BTreeMap::new();
        for piece in &self.pieces {
            let source = match &piece.place {
                PiecePlace::Memory(bytes) => Source::Bytes(bytes),
                PiecePlace::Scratch(path) => Source::Scratch(path),
            };
            files.insert(piece.reference.location(), source);
        }
        storage.put_all_absent(&files.into_iter().collect::<Vec<_>>())
    }

    /// Returns the bytes of all files that the release adds.
    pub(crate) fn stored_bytes(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.reference.length).sum()
    }

    /// Returns the bytes of the archives that the release adds.
    pub(crate) fn archive_bytes(&self) -> u64 {
        let added = |archive: &&ContentReference| {
            let mut pieces = self.pieces.iter();
            pieces.any(|piece| piece.reference == **archive)
        };
        let archives = self.release.archives.iter();
        archives.filter(added).map(|archive| archive.length).sum()
    }
}

/// Makes a draft of a folder whose files are listed.
pub(crate) struct Drafting<'a> {
    /// The pack.
    pub(crate) pack: &'a PackName,
    /// What the release will be called.
    pub(crate) label: &'a Label,
    /// The pack's releases so far.
    pub(crate) catalogue: Option<&'a Catalogue>,
    /// The folder.
    pub(crate) folder: &'a Path,
    /// Its files.
    pub(crate) listing: &'a Listing,
    /// Which earlier releases it brings deltas from.
    pub(crate) delta_from: &'a DeltaFrom,
    /// How many bytes such a delta has to save.
    pub(crate) pays_bytes: u64,
    /// How deltas are made.
    pub(crate) deltas: &'a DeltaSettings,
    /// What learners and teachers should know of it.
    pub(crate) notes: Option<&'a Path>,
    /// The same in several languages.
    pub(crate) translations: &'a [(Language, PathBuf)],
    /// When it is published.
    pub(crate) now: UtcTime,
    /// Where earlier releases lie.
    pub(crate) storage: &'a dyn Storage,
    /// Hears how far it has come.
    pub(crate) listener: &'a dyn PublishProgress,
    /// Stops the work.
    pub(crate) cancel: &'a CancelToken,
}

impl Drafting<'_> {
    /// Cuts, compresses and diffs.
    pub(crate) fn make(&self) -> Result<Draft, PublishError> {
        let earlier = self.delta_from.choose(self.pack, self.catalogue)?;
        let notes = self.notes.map(read_notes).transpose()?;
        let translated = self.translations.iter();
        let translated = translated.map(|(language, path)| Ok((language, read_notes(path)?)));
        let translated = translated.collect::<Result<Vec<_>, PublishError>>()?;
        let scratch = self.storage.scratch()?;
        let contents = FolderContents::new(self.folder, self.listing);
        let sequence = self.catalogue.map_or(1, Catalogue::next_sequence);
        let manifest = Manifest::new(
            self.pack.clone(),
            self.label.clone(),
            sequence,
            self.listing.clone(),
        );
        let mut pieces = Vec::new();
        let manifest_reference = in_memory(manifest.encode(), &mut pieces);
        let chunk_map = self.chunk(&contents, &scratch, &mut pieces)?;
        let notes = notes.map(|notes| in_memory(notes, &mut pieces));
        let translations: Vec<(Language, ContentReference)> = translated
            .into_iter()
            .map(|(language, notes)| (language.clone(), in_memory(notes, &mut pieces)))
            .collect();
        let first = translations.first().map(|(_, notes)| *notes);
        let sbom = in_memory(sbom::sbom(&manifest, self.now), &mut pieces);
        let mut draft = Draft {
            release: CatalogueRelease {
                label: self.label.clone(),
                sequence,
                manifest: manifest_reference,
                published: self.now,
                tree_bytes: self.listing.total_bytes(),
                files: self.listing.entries().len() as u64,
                chunk_map: in_memory(chunk_map.encode(), &mut pieces),
                archives: chunk_map.archives().to_vec(),
                deltas: Vec::new(),
                // For readers that know of one language alone.
                notes: notes.or(first),
                translations: translations.into_iter().collect(),
                provenance: None,
                sbom: Some(sbom),
                status: ReleaseStatus::Offered,
            },
            manifest,
            deltas: Vec::new(),
            warnings: Vec::new(),
            pieces,
        };
        self.add_deltas(&mut draft, &contents, &earlier, &scratch)?;
        let told = provenance::provenance(&draft.manifest, &draft.release, &sbom, self.now);
        draft.release.provenance = Some(in_memory(told, &mut draft.pieces));
        Ok(draft)
    }

    fn chunk(
        &self,
        contents: &dyn Contents,
        scratch: &Path,
        pieces: &mut Vec<Piece>,
    ) -> Result<ChunkMap, PublishError> {
        let mut known = KnownChunks::default();
        for release in self.catalogue.iter().flat_map(|c| &c.releases) {
            known.add(&chunk_map_of(release, self.storage)?);
        }
        let stage = Stage::begin(self.listener, "archives", self.listing.total_bytes());
        let chunker = Chunker {
            scratch,
            archive_bytes: ContentReference::MAX_LENGTH,
            progress: &stage,
            cancel: self.cancel,
        };
        let chunked = chunker.cut(self.listing, contents, known)?;
        pieces.extend(chunked.archives.into_iter().map(|(reference, path)| Piece {
            reference,
            place: PiecePlace::Scratch(path),
        }));
        Ok(chunked.map)
    }

    fn add_deltas(
        &self,
        draft: &mut Draft,
        contents: &dyn Contents,
        earlier: &[&CatalogueRelease],
        scratch: &Path,
    ) -> Result<(), PublishError> {
        let builder = DeltaBuilder {
            new: Tree {
                listing: self.listing,
                contents,
            },
            settings: self.deltas,
            scratch,
            listener: self.listener,
            cancel: self.cancel,
        };
        let new_files: HashMap<Digest, PathBuf> = self
            .listing
            .entries()
            .iter()
            .map(|entry| (entry.digest, entry.path.under(self.folder)))
            .collect();
        let rebuilt = scratch.join("earlier");
        let tree = |release: &&CatalogueRelease| {
            EarlierTree::of_release(release, self.storage, &new_files, &rebuilt, self.cancel)
        };
        let trees = earlier.iter().map(tree);
        let trees = trees.collect::<Result<Vec<_>, PublishError>>()?;
        let nothing = Listing::empty();
        let mut olds = vec![OldTree::nothing(&nothing)];
        olds.extend(earlier.iter().zip(&trees).map(|(release, tree)| OldTree {
            tree: Tree {
                listing: tree.listing(),
                contents: tree,
            },
            label: Some(release.label.as_str()),
        }));
        let mut built = builder.build_all(&olds)?.into_iter();
        let from_nothing = built.next().flatten();
        let limit = from_nothing.as_ref().map(|delta| delta.content.length);
        match from_nothing {
            Some(delta) => draft.add(None, delta, true),
            None => draft.warnings.push(TOO_LONG_FROM_NOTHING.to_owned()),
        }
        for (release, built) in earlier.iter().zip(built) {
            match built {
                Some(delta) => {
                    let bytes = delta.content.length;
                    let is_kept = pays(bytes, limit, self.pays_bytes)
                        && (self.delta_from.names(&release.label)
                            || spares(bytes, self.bytes_by_others(release, draft)));
                    draft.add(Some(release), delta, is_kept);
                }
                None => draft.warnings.push(format!(
                    "the delta from {} would be over 1 GiB and is left out",
                    release.label
                )),
            }
        }
        Ok(())
    }
}

impl Drafting<'_> {
    /// Returns what a device with an older release fetches by the deltas that there are so far, and
    /// those from nothing.
    fn bytes_by_others(&self, from: &CatalogueRelease, draft: &Draft) -> Option<u64> {
        let earlier = self.catalogue.map_or(&[][..], |of| of.releases.as_slice());
        let mut hops = routes::hops(earlier);
        hops.extend(routes::hops(std::slice::from_ref(&draft.release)));
        let routes = Routes::to(draft.release.manifest.digest, &hops);
        routes.bytes(Some(from.manifest.digest))
    }
}

impl Draft {
    fn add(&mut self, from: Option<&CatalogueRelease>, delta: BuiltDelta, is_published: bool) {
        self.deltas.push(DeltaReport {
            from: from.map(|release| release.label.clone()),
            bytes: delta.content.length,
            built_bytes: delta.built_bytes,
            is_published,
        });
        if is_published {
            self.release.deltas.push(CatalogueDelta {
                from: from.map(|release| release.manifest.digest),
                content: delta.content,
                built_bytes: delta.built_bytes,
                methods: delta.methods,
            });
            self.pieces.push(Piece {
                reference: delta.content,
                place: PiecePlace::Scratch(delta.file),
            });
        }
    }
}

fn chunk_map_of(
    release: &CatalogueRelease,
    storage: &dyn Storage,
) -> Result<ChunkMap, PublishError> {
    storage.content(&release.chunk_map, |bytes| {
        ChunkMap::decode(bytes, &Limits::standard())
    })
}

fn in_memory(bytes: Vec<u8>, pieces: &mut Vec<Piece>) -> ContentReference {
    let reference = ContentReference::of(&bytes);
    pieces.push(Piece {
        reference,
        place: PiecePlace::Memory(bytes),
    });
    reference
}

fn read_notes(path: &Path) -> Result<Vec<u8>, PublishError> {
    let failed = |error| PublishError::io("read", path, error);
    let mut notes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(MAX_NOTES_BYTES + 1)
        .read_to_end(&mut notes)
        .map_err(failed)?;
    if notes.len() as u64 > MAX_NOTES_BYTES {
        return Err(PublishError::NotesTooLong {
            path: path.to_owned(),
            limit: MAX_NOTES_BYTES,
        });
    }
    Ok(notes)
}

const TOO_LONG_FROM_NOTHING: &str =
    "the delta from nothing would be over 1 GiB and is left out: first installs need the archives";
/// Notes are read whole, by people.
const MAX_NOTES_BYTES: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use diff_core::{Level, Silent};

    use super::*;
    use crate::progress::Quiet;
    use crate::release::folder::ContentFolder;
    use crate::storage::folder::FolderStorage;

    fn write(folder: &Path, files: &[(&str, Vec<u8>)]) {
        for (path, bytes) in files {
            let path = folder.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
    }

    fn lesson(salt: u32, lines: u32) -> Vec<u8> {
        let line = |n: u32| format!("{salt} {n} {}\n", n.wrapping_mul(2_654_435_761 ^ salt));
        (0..lines).map(line).collect::<String>().into_bytes()
    }

    fn draft(
        folder: &Path,
        label: &str,
        catalogue: Option<&Catalogue>,
        storage: &dyn Storage,
    ) -> Draft {
        let cancel = CancelToken::new();
        let settings = DeltaSettings {
            level: Level::Fast,
            ..DeltaSettings::default()
        };
        let scanned = ContentFolder::scan(folder).unwrap();
        let listing = scanned.listing(&Limits::standard(), &Silent, &cancel);
        let drafting = Drafting {
            pack: &PackName::parse("acme/biology").unwrap(),
            label: &Label::parse(label).unwrap(),
            catalogue,
            folder,
            listing: &listing.unwrap(),
            delta_from: &DeltaFrom::default(),
            pays_bytes: 0,
            deltas: &settings,
            notes: None,
            translations: &[],
            now: UtcTime::from_seconds(0),
            storage,
            listener: &Quiet,
            cancel: &cancel,
        };
        let draft = drafting.make().unwrap();
        draft.store(storage).unwrap();
        draft
    }

    fn catalogue(drafts: &[&Draft]) -> Catalogue {
        Catalogue {
            pack: PackName::parse("acme/biology").unwrap(),
            releases: drafts.iter().map(|draft| draft.release.clone()).collect(),
        }
    }

    #[test]
    fn earlier_release_comes_back_from_its_archives() {
        let folder = tempfile::tempdir().unwrap();
        let storage = FolderStorage::new(folder.path().join("repository"));
        let old = folder.path().join("old");
        let files = [
            ("a.html", lesson(1, 3000)),
            ("b/kept.html", lesson(2, 200)),
            ("c/copy.html", lesson(1, 3000)),
            ("d/empty", Vec::new()),
        ];
        write(&old, &files);
        let first = draft(&old, "1.0", None, &storage);
        let new_files = HashMap::from([(Digest::of(&files[1].1), old.join("b/kept.html"))]);
        let storage: &dyn Storage = &storage;
        let map = chunk_map_of(&first.release, storage).unwrap();
        let rebuilt = folder.path().join("rebuilt");
        let cancel = CancelToken::new();
        let tree = EarlierTree::rebuild(
            &first.manifest,
            &map,
            storage,
            &new_files,
            &rebuilt,
            &cancel,
        )
        .unwrap();
        for (index, (_, bytes)) in files.iter().enumerate() {
            assert_eq!(*tree.read(index).unwrap(), **bytes);
        }
        // One for the two that are equal, one for the empty file.
        assert_eq!(std::fs::read_dir(&rebuilt).unwrap().count(), 2);
    }

    #[test]
    fn second_release_stores_and_sends_only_what_changed() {
        let folder = tempfile::tempdir().unwrap();
        let storage = FolderStorage::new(folder.path().join("repository"));
        let course = folder.path().join("course");
        write(
            &course,
            &[("a.html", lesson(1, 9000)), ("b.html", lesson(2, 9000))],
        );
        let first = draft(&course, "1.0", None, &storage);
        assert_eq!(first.deltas.len(), 1);
        let mut changed = lesson(1, 9000);
        changed.extend_from_slice(b"one sentence more");
        write(&course, &[("a.html", changed)]);
        let second = draft(&course, "1.1", Some(&catalogue(&[&first])), &storage);
        assert_eq!((second.release.sequence, second.deltas.len()), (2, 2));
        let [nothing, delta] = &second.deltas[..] else {
            panic!("expected two deltas, found {:?}", second.deltas);
        };
        assert!(nothing.from.is_none() && delta.is_published);
        assert!(delta.bytes < nothing.bytes / 20, "{delta:?} {nothing:?}");
        assert!(second.archive_bytes() < first.archive_bytes() / 2);
        assert_eq!(second.release.archives.len(), 2);
    }

    #[test]
    fn delta_from_a_release_called_nothing_is_not_the_one_from_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let storage = FolderStorage::new(folder.path().join("repository"));
        let course = folder.path().join("course");
        write(&course, &[("a.html", lesson(1, 3000))]);
        let first = draft(&course, "nothing", None, &storage);
        write(&course, &[("b.html", lesson(2, 30))]);
        let second = draft(&course, "1.1", Some(&catalogue(&[&first])), &storage);
        let deltas = &second.release.deltas;
        assert_eq!(deltas.len(), 2);
        for delta in deltas {
            let stored = storage.get(&delta.content.location()).unwrap().unwrap();
            assert_eq!(ContentReference::of(&stored), delta.content);
        }
    }

    #[test]
    fn delta_that_does_not_pay_is_reported_and_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let storage = FolderStorage::new(folder.path().join("repository"));
        let course = folder.path().join("course");
        write(&course, &[("a.html", lesson(1, 900))]);
        let first = draft(&course, "1.0", None, &storage);
        std::fs::remove_file(course.join("a.html")).unwrap();
        write(&course, &[("z.txt", b"nothing in common".to_vec())]);
        let second = draft(&course, "2.0", Some(&catalogue(&[&first])), &storage);
        let [nothing, delta] = &second.deltas[..] else {
            panic!("expected two deltas, found {:?}", second.deltas);
        };
        assert!(
            delta.bytes >= nothing.bytes && !delta.is_published,
            "{delta:?}"
        );
        let [kept] = &second.release.deltas[..] else {
            panic!("expected one delta, found {:?}", second.release.deltas);
        };
        assert_eq!(kept.from, None);
    }

    #[test]
    fn release_that_only_renames_and_drops_can_be_listed() {
        let folder = tempfile::tempdir().unwrap();
        let storage = FolderStorage::new(folder.path().join("repository"));
        let course = folder.path().join("course");
        write(
            &course,
            &[("a.html", lesson(1, 900)), ("b.html", lesson(2, 900))],
        );
        let first = draft(&course, "1.0", None, &storage);
        std::fs::remove_file(course.join("b.html")).unwrap();
        std::fs::rename(course.join("a.html"), course.join("c.html")).unwrap();
        let second = draft(&course, "1.1", Some(&catalogue(&[&first])), &storage);
        let delta = &second.deltas[1];
        assert!(delta.bytes < 300 && delta.built_bytes == 0, "{delta:?}");
        catalogue(&[&first, &second]).encode().unwrap();
    }
}
