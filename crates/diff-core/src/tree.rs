use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;
use std::io;
use std::path::PathBuf;

use crate::content_path::folded;
use crate::{ContentPath, Digest, FileBytes, Limits, MappedFile};

/// One file of a tree: where it lies, how long it is, and what its content is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where the file lies within the tree.
    pub path: ContentPath,
    /// How many bytes the file has.
    pub length: u64,
    /// The digest of its content.
    pub digest: Digest,
}

/// The files of one tree in the byte order of their paths, each path once, none colliding.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listing {
    entries: Vec<Entry>,
}

impl Listing {
    /// Returns the listing of a tree without files: what a first install starts from.
    pub fn empty() -> Listing {
        Listing::default()
    }

    /// Returns the listing of `entries`, sorted by path.
    ///
    /// # Errors
    /// [`ListingError`] when two paths are equal or collide on some platform, when one is both a file
    /// and a folder, or when a limit is passed.
    pub fn new(mut entries: Vec<Entry>, limits: &Limits) -> Result<Listing, ListingError> {
        let count = entries.len() as u64;
        if count > limits.max_files {
            return Err(ListingError::TooManyFiles {
                count,
                limit: limits.max_files,
            });
        }
        let mut total = 0_u64;
        for entry in &entries {
            if entry.length > limits.max_file_bytes {
                return Err(ListingError::FileTooLong {
                    path: entry.path.clone(),
                    length: entry.length,
                    limit: limits.max_file_bytes,
                });
            }
            total = total.saturating_add(entry.length);
        }
        if total > limits.max_tree_bytes {
            return Err(ListingError::TreeTooLong {
                length: total,
                limit: limits.max_tree_bytes,
            });
        }
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        let collisions = find_collisions(entries.iter().map(|entry| &entry.path));
        match collisions.into_iter().next() {
            Some(collision) => Err(ListingError::Collision(collision)),
            None => Ok(Listing { entries }),
        }
    }

    /// Returns the entries in the byte order of their paths.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Returns the entry at `path`.
    pub fn get(&self, path: &ContentPath) -> Option<&Entry> {
        let index = self
            .entries
            .binary_search_by(|entry| entry.path.cmp(path))
            .ok()?;
        self.entries.get(index)
    }

    /// Returns how many bytes all files have together.
    pub fn total_bytes(&self) -> u64 {
        self.entries.iter().map(|entry| entry.length).sum()
    }

    /// Returns a digest over every path, length and digest: equal for equal trees alone.
    pub fn digest(&self) -> Digest {
        let mut bytes = Vec::new();
        for entry in &self.entries {
            bytes.extend_from_slice(&(entry.path.as_str().len() as u64).to_le_bytes());
            bytes.extend_from_slice(entry.path.as_str().as_bytes());
            bytes.extend_from_slice(&entry.length.to_le_bytes());
            bytes.extend_from_slice(entry.digest.as_bytes());
        }
        Digest::of(&bytes)
    }
}

/// Why some files are no tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ListingError {
    /// More files than the limit.
    #[error("the tree has {count} files, the limit is {limit}")]
    TooManyFiles {
        /// Files found.
        count: u64,
        /// Files allowed.
        limit: u64,
    },
    /// A file above the limit.
    #[error("{path} has {length} bytes, the limit is {limit}")]
    FileTooLong {
        /// The file.
        path: ContentPath,
        /// Its bytes.
        length: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// All files together above the limit.
    #[error("the tree has {length} bytes, the limit is {limit}")]
    TreeTooLong {
        /// Bytes of all files.
        length: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// Two paths that cannot stand side by side everywhere.
    #[error(transparent)]
    Collision(Collision),
}

/// Two paths that cannot stand side by side on every platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Collision {
    /// The same path twice.
    #[error("{path} is listed twice")]
    Repeated {
        /// The path.
        path: ContentPath,
    },
    /// Two files, or two folders, that differ by case or Unicode normalisation alone.
    #[error("{first:?} and {second:?} differ only by case or Unicode normalisation")]
    Indistinct {
        /// The path, or the folder, that comes first.
        first: String,
        /// The one that comes behind it.
        second: String,
    },
    /// A file where another path needs a folder.
    #[error("{file:?} is a file, and {inside} lies below it")]
    FileAndFolder {
        /// The path that is a file.
        file: String,
        /// A path below it.
        inside: ContentPath,
    },
}

/// Returns every collision among `paths`, in their order.
pub fn find_collisions<'a>(paths: impl IntoIterator<Item = &'a ContentPath>) -> Vec<Collision> {
    let mut seen = Seen::default();
    let mut collisions = Vec::new();
    for path in paths {
        seen.add(path, &mut collisions);
    }
    collisions
}

/// The files and folders seen so far, each once.
///
/// A node is known by the folder that it lies in and its own name, never by its whole path: what is
/// kept grows with the bytes of the paths, however deep they are.
#[derive(Default)]
struct Seen<'a> {
    nodes: BTreeMap<(usize, Cow<'a, str>), Node<'a>>,
}

struct Node<'a> {
    /// Stands for the node where others lie below it; 0 is the tree itself.
    number: usize,
    /// The path as it was spelled first, up to this node.
    spelling: &'a str,
    is_file: bool,
    path: &'a ContentPath,
}

impl<'a> Seen<'a> {
    fn add(&mut self, path: &'a ContentPath, collisions: &mut Vec<Collision>) {
        let text = path.as_str();
        let folder_ends = text.match_indices('/').map(|(at, _)| (at, false));
        let (mut parent, mut start) = (0, 0);
        for (end, is_file) in folder_ends.chain([(text.len(), true)]) {
            let (Some(spelling), Some(name)) = (text.get(..end), text.get(start..end)) else {
                continue;
            };
            start = end + 1;
            let number = self.nodes.len() + 1;
            match self.nodes.entry((parent, folded_name(name))) {
                Slot::Vacant(slot) => {
                    slot.insert(Node {
                        number,
                        spelling,
                        is_file,
                        path,
                    });
                    parent = number;
                }
                Slot::Occupied(slot) => {
                    let other = slot.get();
                    parent = other.number;
                    if other.spelling != spelling {
                        collisions.push(Collision::Indistinct {
                            first: other.spelling.to_owned(),
                            second: spelling.to_owned(),
                        });
                        break;
                    }
                    match (other.is_file, is_file) {
                        (false, false) => {}
                        (true, true) => {
                            collisions.push(Collision::Repeated { path: path.clone() });
                        }
                        (true, false) => {
                            collisions.push(Collision::FileAndFolder {
                                file: spelling.to_owned(),
                                inside: path.clone(),
                            });
                            break;
                        }
                        (false, true) => collisions.push(Collision::FileAndFolder {
                            file: spelling.to_owned(),
                            inside: other.path.clone(),
                        }),
                    }
                }
            }
        }
    }
}

/// Returns what equal names have in common; most names are that themselves.
fn folded_name(name: &str) -> Cow<'_, str> {
    let is_folded = |byte: u8| byte.is_ascii() && !byte.is_ascii_uppercase();
    if name.bytes().all(is_folded) {
        Cow::Borrowed(name)
    } else {
        Cow::Owned(folded(name))
    }
}

/// A tree at hand: what its files are, and a way to read them.
#[derive(Clone, Copy)]
pub struct Tree<'a> {
    /// The files.
    pub listing: &'a Listing,
    /// Reads them.
    pub contents: &'a dyn Contents,
}

/// Reads the content of a tree's files by their place in its listing.
pub trait Contents: Sync {
    /// Returns the bytes of the file at `index` of `listing`.
    ///
    /// # Errors
    /// Whatever reading the file fails with.
    fn read(&self, index: usize) -> io::Result<FileBytes>;
}

/// The files of a tree in one folder, mapped when they are read.
///
/// Only for folders whose files nobody truncates meanwhile; see [`MappedFile`].
pub struct FolderContents<'a> {
    root: PathBuf,
    listing: &'a Listing,
}

impl<'a> FolderContents<'a> {
    /// Returns the contents of `listing` as they lie below `root`.
    pub fn new(root: impl Into<PathBuf>, listing: &'a Listing) -> FolderContents<'a> {
        FolderContents {
            root: root.into(),
            listing,
        }
    }
}

impl Contents for FolderContents<'_> {
    fn read(&self, index: usize) -> io::Result<FileBytes> {
        let entry = self.listing.entries().get(index).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("no file has the index {index}"),
            )
        })?;
        MappedFile::open(&entry.path.under(&self.root)).map(FileBytes::Mapped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(paths: &[&str]) -> Vec<Entry> {
        let entry = |path: &&str| Entry {
            path: ContentPath::parse(path).unwrap(),
            length: 1,
            digest: Digest::of(path.as_bytes()),
        };
        paths.iter().map(entry).collect()
    }

    fn collision(paths: &[&str]) -> Collision {
        match Listing::new(entries(paths), &Limits::standard()) {
            Err(ListingError::Collision(collision)) => collision,
            other => panic!("expected a collision, found {other:?}"),
        }
    }

    #[test]
    fn listing_is_sorted_by_bytes() {
        let listing = Listing::new(entries(&["b", "a/z", "a-b"]), &Limits::standard()).unwrap();
        let paths: Vec<_> = listing
            .entries()
            .iter()
            .map(|entry| entry.path.as_str())
            .collect();
        assert_eq!(paths, ["a-b", "a/z", "b"]);
    }

    #[test]
    fn repeated_path_is_refused() {
        assert!(matches!(
            collision(&["a", "b", "a"]),
            Collision::Repeated { .. }
        ));
    }

    #[test]
    fn files_that_differ_by_case_are_refused() {
        assert!(matches!(
            collision(&["a/X.js", "a/x.js"]),
            Collision::Indistinct { .. }
        ));
    }

    #[test]
    fn folders_that_differ_by_case_are_refused() {
        assert!(matches!(
            collision(&["Img/1.png", "img/2.png"]),
            Collision::Indistinct { .. }
        ));
    }

    #[test]
    fn file_that_is_also_a_folder_is_refused() {
        assert!(matches!(
            collision(&["a", "a/b"]),
            Collision::FileAndFolder { .. }
        ));
        assert!(matches!(
            collision(&["a", "a-", "a/b"]),
            Collision::FileAndFolder { .. }
        ));
    }

    #[test]
    fn folders_below_folders_collide_by_their_own_names() {
        assert_eq!(
            collision(&["a/b/C/d", "a/b/c/e"]),
            Collision::Indistinct {
                first: "a/b/C".to_owned(),
                second: "a/b/c".to_owned()
            }
        );
        assert!(matches!(
            collision(&["Ä/x", "A\u{308}/y"]),
            Collision::Indistinct { .. }
        ));
        let apart = entries(&["a/b", "c/B", "d/a/b", "d/c/B"]);
        assert!(Listing::new(apart, &Limits::standard()).is_ok());
    }

    #[test]
    fn deep_paths_cost_what_their_bytes_do() {
        // Each of 500 components that no other path has.
        let path = |number: usize| {
            let mut path = format!("{number}");
            while path.len() + 2 <= 1_000 {
                path.push_str("/a");
            }
            ContentPath::parse(&path).unwrap()
        };
        let paths: Vec<_> = (1_000..2_000).map(path).collect();
        let (mut seen, mut collisions) = (Seen::default(), Vec::new());
        for path in &paths {
            seen.add(path, &mut collisions);
        }
        assert_eq!(collisions, []);
        let components = paths.iter().map(|path| path.as_str().split('/').count());
        assert_eq!(seen.nodes.len(), components.sum::<usize>());
        // None of them keeps a copy of its folders' names, or of its own.
        let bytes = paths.iter().map(|path| path.as_str().len()).sum::<usize>();
        let kept = seen.nodes.keys().map(|(_, name)| name.len());
        assert!(kept.sum::<usize>() < bytes);
        let is_borrowed = |name: &Cow<'_, str>| matches!(name, Cow::Borrowed(_));
        assert!(seen.nodes.keys().all(|(_, name)| is_borrowed(name)));
    }

    #[test]
    fn limits_are_kept() {
        let limits = Limits {
            max_files: 1,
            ..Limits::standard()
        };
        let refused = Listing::new(entries(&["a", "b"]), &limits);
        assert_eq!(
            refused,
            Err(ListingError::TooManyFiles { count: 2, limit: 1 })
        );
        let limits = Limits {
            max_tree_bytes: 1,
            ..Limits::standard()
        };
        let refused = Listing::new(entries(&["a", "b"]), &limits);
        assert_eq!(
            refused,
            Err(ListingError::TreeTooLong {
                length: 2,
                limit: 1
            })
        );
        let limits = Limits {
            max_file_bytes: 0,
            ..Limits::standard()
        };
        let refused = Listing::new(entries(&["a"]), &limits);
        assert!(matches!(
            refused,
            Err(ListingError::FileTooLong {
                length: 1,
                limit: 0,
                ..
            })
        ));
    }

    #[test]
    fn digest_tells_trees_apart() {
        let one = Listing::new(entries(&["a", "b"]), &Limits::standard()).unwrap();
        let other = Listing::new(entries(&["a", "c"]), &Limits::standard()).unwrap();
        assert_ne!(one.digest(), other.digest());
    }
}
