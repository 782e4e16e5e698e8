use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use crate::delta::{Origin, PlannedFile};
use crate::{ContentPath, Digest, Entry, Listing};

/// How each file of a new tree comes about, and which old file those to be built resemble.
pub(crate) struct Pairing {
    /// The files in the order of the new listing.
    pub(crate) files: Vec<PlannedFile>,
    /// For each file that is to be built, its old counterpart.
    pub(crate) counterparts: Vec<Option<Counterpart>>,
}

/// An old file that a new one resembles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counterpart {
    /// The old file's index in its listing.
    pub(crate) index: usize,
    /// Why it was taken.
    pub(crate) kinship: Kinship,
}

/// Why a file is another's counterpart, the closest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kinship {
    /// It lies under the same path.
    Path,
    /// It has the same file name in another folder.
    Name,
    /// It has the same name once digests and versions are taken out, as `app.3f2a9c.js`.
    Stem,
    /// It has the same extension in the same folder or beside it.
    Neighbour,
}

impl Pairing {
    /// Pairs the files of `new` with those of `old`.
    pub(crate) fn of(old: &Listing, new: &Listing) -> Pairing {
        let files = origins(old, new);
        let kin = Kin::of(old, new);
        let counterpart = |(file, entry): (&PlannedFile, &Entry)| match file.origin {
            Origin::Built => kin.counterpart(entry),
            Origin::Old(_) | Origin::SameAs(_) => None,
        };
        let counterparts = files.iter().zip(new.entries()).map(counterpart).collect();
        Pairing {
            files,
            counterparts,
        }
    }
}

/// Finds what the device has already: the same content under the same path, anywhere in the old tree,
/// or made once for another new file.
fn origins(old: &Listing, new: &Listing) -> Vec<PlannedFile> {
    let mut old_by_digest: HashMap<Digest, usize> = HashMap::new();
    for (index, entry) in old.entries().iter().enumerate() {
        old_by_digest.entry(entry.digest).or_insert(index);
    }
    let mut built_by_digest: HashMap<Digest, usize> = HashMap::new();
    let origin = |(index, entry): (usize, &Entry)| {
        let in_place = position(old, &entry.path);
        let in_place = in_place.filter(|index| {
            let old = old.entries().get(*index);
            old.is_some_and(|old| old.digest == entry.digest)
        });
        let origin = if let Some(place) = in_place {
            Origin::Old(place)
        } else if let Some(place) = old_by_digest.get(&entry.digest) {
            Origin::Old(*place)
        } else if let Some(place) = built_by_digest.get(&entry.digest) {
            Origin::SameAs(*place)
        } else {
            built_by_digest.insert(entry.digest, index);
            Origin::Built
        };
        PlannedFile {
            path: entry.path.clone(),
            length: entry.length,
            origin,
        }
    };
    new.entries().iter().enumerate().map(origin).collect()
}

/// The old files by what could make them a counterpart, each list in the order of the paths.
struct Kin<'a> {
    old: &'a Listing,
    dropped: HashSet<usize>,
    by_name: HashMap<&'a str, Vec<usize>>,
    by_stem: HashMap<(String, &'a str), Vec<usize>>,
    by_extension: HashMap<&'a str, Vec<usize>>,
}

impl<'a> Kin<'a> {
    fn of(old: &'a Listing, new: &Listing) -> Kin<'a> {
        let mut kin = Kin {
            old,
            dropped: HashSet::new(),
            by_name: HashMap::new(),
            by_stem: HashMap::new(),
            by_extension: HashMap::new(),
        };
        for (index, entry) in old.entries().iter().enumerate() {
            if entry.length == 0 {
                continue;
            }
            let path = &entry.path;
            if new.get(path).is_none() {
                kin.dropped.insert(index);
            }
            kin.by_name.entry(path.file_name()).or_default().push(index);
            if let Some(stem) = stem(path) {
                let key = (stem, path.extension());
                kin.by_stem.entry(key).or_default().push(index);
            }
            if entry.length <= NEIGHBOUR_BYTES {
                let extension = path.extension();
                kin.by_extension.entry(extension).or_default().push(index);
            }
        }
        kin
    }

    fn counterpart(&self, new: &Entry) -> Option<Counterpart> {
        if new.length == 0 {
            return None;
        }
        let path = &new.path;
        let with = |kinship| move |index| Counterpart { index, kinship };
        let in_place = position(self.old, path);
        let in_place = in_place.filter(|index| self.length(*index) > 0);
        let by_name = || self.nearest(self.by_name.get(path.file_name())?, new, |_| true);
        let by_stem = || {
            let candidates = self.by_stem.get(&(stem(path)?, path.extension()))?;
            self.nearest(candidates, new, |_| true)
        };
        let neighbour = || {
            let extension = path.extension();
            if new.length > NEIGHBOUR_BYTES || !is_open(extension) {
                return None;
            }
            let is_near = |other: &Entry| {
                folders_apart(path, &other.path) <= NEIGHBOUR_FOLDERS
                    && other.length <= new.length.saturating_mul(NEIGHBOUR_RATIO)
                    && new.length <= other.length.saturating_mul(NEIGHBOUR_RATIO)
            };
            self.nearest(self.by_extension.get(extension)?, new, is_near)
        };
        in_place
            .map(with(Kinship::Path))
            .or_else(|| by_name().map(with(Kinship::Name)))
            .or_else(|| by_stem().map(with(Kinship::Stem)))
            .or_else(|| neighbour().map(with(Kinship::Neighbour)))
    }

    /// Returns the best of those candidates whose paths sort next to the new one: files that left the
    /// tree first, then those in the nearest folder, then the nearest in length.
    fn nearest(
        &self,
        candidates: &[usize],
        new: &Entry,
        is_fit: impl Fn(&Entry) -> bool,
    ) -> Option<usize> {
        let entry = |index: usize| self.old.entries().get(index);
        let middle = candidates
            .partition_point(|index| entry(*index).is_some_and(|entry| entry.path < new.path));
        let start = middle.saturating_sub(CANDIDATES_EACH_SIDE);
        let end = candidates.len().min(middle + CANDIDATES_EACH_SIDE);
        let near = candidates.get(start..end)?.iter().copied();
        let fit = near.filter(|index| entry(*index).is_some_and(&is_fit));
        fit.max_by_key(|index| {
            let apart = entry(*index).map(|entry| folders_apart(&new.path, &entry.path));
            let difference = self.length(*index).abs_diff(new.length);
            let is_dropped = self.dropped.contains(index);
            (is_dropped, Reverse((apart, difference, *index)))
        })
    }

    fn length(&self, index: usize) -> u64 {
        let entry = self.old.entries().get(index);
        entry.map_or(0, |entry| entry.length)
    }
}

fn position(listing: &Listing, path: &ContentPath) -> Option<usize> {
    let entries = listing.entries();
    entries.binary_search_by(|entry| entry.path.cmp(path)).ok()
}

/// Returns the file name without extension and without the parts that look like a digest or a
/// version, or nothing when no such part is there or nothing else is.
fn stem(path: &ContentPath) -> Option<String> {
    let name = path.file_name();
    let name = name.strip_suffix(path.extension()).unwrap_or(name);
    let parts: Vec<&str> = name.split(['.', '-', '_']).collect();
    let kept: Vec<&str> = parts
        .iter()
        .copied()
        .filter(|part| !is_changing(part))
        .collect();
    let is_named = kept.iter().any(|part| !part.is_empty());
    (is_named && kept.len() < parts.len()).then(|| kept.join("."))
}

/// Whether a part of a name is one that bundlers and versions change: a number, or six and more
/// letters and digits mixed.
fn is_changing(part: &str) -> bool {
    let is_word = part
        .chars()
        .all(|character| character.is_ascii_alphanumeric());
    let digits = part.chars().filter(char::is_ascii_digit).count();
    let is_hex = part.len() >= 8 && part.chars().all(|character| character.is_ascii_hexdigit());
    !part.is_empty()
        && (digits == part.len() || is_hex || (is_word && part.len() >= 6 && digits > 0))
}

/// Returns how many folders lie between two files: up from one, and down to the other.
fn folders_apart(a: &ContentPath, b: &ContentPath) -> usize {
    let folders = |path: &ContentPath| path.components().count() - 1;
    let (a_folders, b_folders) = (folders(a), folders(b));
    let pairs = a.components().zip(b.components());
    let shared = pairs
        .take(a_folders.min(b_folders))
        .take_while(|(a, b)| a == b)
        .count();
    a_folders + b_folders - 2 * shared
}

/// Whether files with this extension can resemble each other at all: what is compressed cannot.
fn is_open(extension: &str) -> bool {
    let extension = extension.to_ascii_lowercase();
    !extension.is_empty() && !COMPRESSED.contains(&extension.as_str())
}

const CANDIDATES_EACH_SIDE: usize = 16;
const NEIGHBOUR_BYTES: u64 = 1 << 20;
const NEIGHBOUR_FOLDERS: usize = 2;
const NEIGHBOUR_RATIO: u64 = 8;
const COMPRESSED: [&str; 32] = [
    "7z", "aac", "apk", "avif", "br", "bz2", "docx", "epub", "flac", "gif", "gz", "h5p", "jar",
    "jpeg", "jpg", "m4a", "m4v", "mkv", "mov", "mp3", "mp4", "ogg", "pdf", "png", "pptx", "webm",
    "webp", "woff", "woff2", "xlsx", "xz", "zip",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;

    fn listing(files: &[(&str, &str)]) -> Listing {
        let entry = |(path, content): &(&str, &str)| Entry {
            path: ContentPath::parse(path).unwrap(),
            length: content.len() as u64,
            digest: Digest::of(content.as_bytes()),
        };
        Listing::new(files.iter().map(entry).collect(), &Limits::standard()).unwrap()
    }

    fn pair(old: &[(&str, &str)], path: &str) -> Option<(String, Kinship)> {
        let old = listing(old);
        let pairing = Pairing::of(&old, &listing(&[(path, "new content")]));
        let found = pairing.counterparts[0]?;
        let path = &old.entries()[found.index].path;
        Some((path.to_string(), found.kinship))
    }

    #[test]
    fn known_content_is_never_built_twice() {
        let old = listing(&[("a", "one"), ("b", "two"), ("c", "two")]);
        let new = listing(&[("a", "two"), ("c", "two"), ("d", "six"), ("e", "six")]);
        let files = Pairing::of(&old, &new).files;
        let origins: Vec<Origin> = files.iter().map(|file| file.origin).collect();
        assert_eq!(
            origins,
            [
                Origin::Old(1),
                Origin::Old(2),
                Origin::Built,
                Origin::SameAs(2)
            ]
        );
    }

    #[test]
    fn the_closest_kin_is_the_counterpart() {
        let old = [
            ("js/app.3f2a9c.js", "1"),
            ("js/index-BxY3k2Lq.js", "2"),
            ("js/other.js", "3"),
            ("moved/lesson.html", "4"),
            ("unit/lesson 1.html", "5"),
            ("unit/empty.txt", ""),
            ("unit/photo.jpg", "6"),
        ];
        let found = |path| pair(&old, path);
        let kin = |path: &str, kinship| Some((path.to_owned(), kinship));
        assert_eq!(found("js/other.js"), kin("js/other.js", Kinship::Path));
        assert_eq!(
            found("lesson.html"),
            kin("moved/lesson.html", Kinship::Name)
        );
        assert_eq!(
            found("js/app.77de01.js"),
            kin("js/app.3f2a9c.js", Kinship::Stem)
        );
        assert_eq!(
            found("js/index-Zk29aaPq.js"),
            kin("js/index-BxY3k2Lq.js", Kinship::Stem)
        );
        assert_eq!(
            found("unit/lesson 2.html"),
            None,
            "lengths that differ by far make no neighbours"
        );
        assert_eq!(found("unit/empty.txt"), None);
        assert_eq!(found("unit/photo 2.jpg"), None);
    }

    #[test]
    fn neighbours_have_the_same_kind_and_length() {
        let old = [
            ("a/b/one.html", "a content of its own"),
            ("x/y/z/far.html", "far"),
        ];
        let expected = Some(("a/b/one.html".to_owned(), Kinship::Neighbour));
        assert_eq!(pair(&old, "a/b/two.html"), expected);
        assert_eq!(pair(&old, "a/c/two.html"), expected);
        assert_eq!(pair(&old, "q/r/two.html"), None);
        assert_eq!(pair(&old, "a/b/two.css"), None);
    }

    #[test]
    fn files_that_left_the_tree_come_first() {
        let old = listing(&[("here/page.html", "here"), ("there/page.html", "there")]);
        let new = listing(&[("here/page.html", "here"), ("other/page.html", "edited")]);
        let pairing = Pairing::of(&old, &new);
        let found = pairing.counterparts[1].unwrap();
        assert_eq!(found.index, 1);
    }
}
