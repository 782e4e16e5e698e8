use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use diff_core::{
    Abilities, CancelToken, Contents, DiffError, Differ, DigestWriter, FileBytes, Level, Limits,
    Listing, MappedFile, Method, Tree, prove,
};
use release_format::ContentReference;

use crate::PublishError;
use crate::progress::{PublishProgress, Stage};

/// How deltas are made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct DeltaSettings {
    /// How much time goes into them.
    pub level: Level,
    /// What every device has that they are for. Others pass a delta over that needs more, and fetch
    /// chunks instead.
    pub abilities: Abilities,
}

/// A delta that was applied and gave the new tree.
pub(crate) struct BuiltDelta {
    /// The file that holds it.
    pub(crate) file: PathBuf,
    /// What it is known by.
    pub(crate) content: ContentReference,
    /// Bytes that applying it writes anew.
    pub(crate) built_bytes: u64,
    /// The names of the methods and recompressors that a device needs.
    pub(crate) methods: Vec<String>,
}

/// A tree that a delta starts from.
#[derive(Clone, Copy)]
pub(crate) struct OldTree<'a> {
    /// Its files.
    pub(crate) tree: Tree<'a>,
    /// The label of its release; none for the tree without files.
    pub(crate) label: Option<&'a str>,
}

impl<'a> OldTree<'a> {
    /// Returns the tree that a first install starts from, whose listing has no files.
    pub(crate) fn nothing(listing: &'a Listing) -> OldTree<'a> {
        OldTree {
            tree: Tree {
                listing,
                contents: &NoFiles,
            },
            label: None,
        }
    }
}

/// Builds the deltas to one new tree.
pub(crate) struct DeltaBuilder<'a> {
    /// The new tree.
    pub(crate) new: Tree<'a>,
    /// How they are made.
    pub(crate) settings: &'a DeltaSettings,
    /// Where they are written.
    pub(crate) scratch: &'a Path,
    /// Hears of the new tree's bytes, for each delta.
    pub(crate) listener: &'a dyn PublishProgress,
    /// Stops the work.
    pub(crate) cancel: &'a CancelToken,
}

impl DeltaBuilder<'_> {
    /// Builds and proves a delta from each of `olds`, several side by side as far as cores and memory
    /// go: a delta alone has stretches that are one core's work. They are returned in the same order;
    /// none in place of one that would be too long to publish.
    pub(crate) fn build_all(
        &self,
        olds: &[OldTree<'_>],
    ) -> Result<Vec<Option<BuiltDelta>>, PublishError> {
        let next = AtomicUsize::new(0);
        let has_failed = AtomicBool::new(false);
        let build_some = || {
            let mut built = Vec::new();
            while !has_failed.load(Ordering::Relaxed) {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(old) = olds.get(index) else { break };
                let outcome = self.build(*old);
                has_failed.fetch_or(outcome.is_err(), Ordering::Relaxed);
                built.push((index, outcome));
            }
            built
        };
        let at_once = at_once(
            rayon::current_num_threads(),
            self.new.listing.total_bytes(),
            olds.len(),
        );
        let mut built = Vec::new();
        thread::scope(|scope| {
            let others: Vec<_> = (1..at_once).map(|_| scope.spawn(build_some)).collect();
            built.extend(build_some());
            for other in others {
                match other.join() {
                    Ok(more) => built.extend(more),
                    Err(panicked) => resume_unwind(panicked),
                }
            }
        });
        built.sort_by_key(|(index, _)| *index);
        built.into_iter().map(|(_, outcome)| outcome).collect()
    }

    /// Builds and proves the delta from `old`; none when it would be too long to publish.
    pub(crate) fn build(&self, old: OldTree<'_>) -> Result<Option<BuiltDelta>, PublishError> {
        let name = old.label.unwrap_or("nothing");
        let file = self.scratch.join(match old.label {
            Some(label) => format!("delta-{label}"),
            // No label's, whatever it is.
            None => "first-install".to_owned(),
        });
        let old = old.tree;
        let failed = |error| PublishError::io("write", &file, error);
        let stage = self.stage(format!("delta from {name}"));
        let out = Bounded {
            inner: BufWriter::new(File::create(&file).map_err(failed)?),
            left: ContentReference::MAX_LENGTH,
        };
        let mut out = DigestWriter::new(out);
        let written = Differ::new(old, self.new)
            .level(self.settings.level)
            .for_devices(&self.settings.abilities)
            .progress(&stage)
            .cancel(self.cancel)
            .write_to(&mut out)
            .and_then(|summary| out.flush().map(|()| summary).map_err(DiffError::Output));
        let summary = match written {
            Ok(summary) => summary,
            Err(DiffError::Output(error)) if error.kind() == io::ErrorKind::FileTooLarge => {
                return Ok(None);
            }
            Err(DiffError::Output(error)) => return Err(failed(error)),
            Err(error) => return Err(PublishError::diff(name, error)),
        };
        let content = ContentReference {
            digest: out.digest(),
            length: out.length(),
        };
        drop(out);
        let stage = self.stage(format!("proof of the delta from {name}"));
        let bytes =
            MappedFile::open(&file).map_err(|error| PublishError::io("read", &file, error))?;
        prove(
            old,
            self.new,
            &bytes,
            &Limits::standard(),
            &stage,
            self.cancel,
        )
        .map_err(|error| PublishError::diff(name, error))?;
        Ok(Some(BuiltDelta {
            file,
            content,
            built_bytes: summary.built_bytes,
            methods: names(&summary.needs),
        }))
    }

    fn stage(&self, name: String) -> Stage<'_> {
        Stage::begin(self.listener, name, self.new.listing.total_bytes())
    }
}

/// Returns how many deltas to a tree of so many bytes are built at once.
fn at_once(cores: usize, tree_bytes: u64, deltas: usize) -> usize {
    let fitting = BYTES_AT_ONCE.checked_div(tree_bytes).unwrap_or(u64::MAX);
    let fitting = usize::try_from(fitting).unwrap_or(usize::MAX);
    cores.min(deltas).min(fitting).clamp(1, MOST_AT_ONCE)
}

/// Even to a tree of ten megabytes a delta may take nearly one gigabyte of memory, and each uses all cores
/// where it can: a second one has the stretches in which it cannot.
const MOST_AT_ONCE: usize = 2;
/// One to a tree of a gigabyte may take two: of trees beyond half of this, one is built at a time.
const BYTES_AT_ONCE: u64 = 256 << 20;

/// A delta that builds nothing asks for the method that every device has: a catalogue names one at
/// least.
fn names(needs: &[&str]) -> Vec<String> {
    let needs = match needs {
        [] => &[Method::Store.name()],
        needs => needs,
    };
    needs.iter().map(|name| (*name).to_owned()).collect()
}

/// The contents of a tree without files.
pub(crate) struct NoFiles;

impl Contents for NoFiles {
    fn read(&self, index: usize) -> io::Result<FileBytes> {
        let told = format!("there is no file {index}");
        Err(io::Error::new(io::ErrorKind::InvalidInput, told))
    }
}

/// A writer that fails instead of passing the length that a repository can hold.
struct Bounded<W> {
    inner: W,
    left: u64,
}

impl<W: Write> Write for Bounded<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() as u64 > self.left {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let count = self.inner.write(bytes)?;
        self.left -= count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use diff_core::{ContentPath, Digest, Entry};

    use super::*;
    use crate::progress::Quiet;

    /// A tree of one file in memory, which may refuse to be read.
    struct Page {
        listing: Listing,
        bytes: Option<Vec<u8>>,
    }

    impl Page {
        fn new(text: &str) -> Page {
            let entry = Entry {
                path: ContentPath::parse("page.html").unwrap(),
                length: text.len() as u64,
                digest: Digest::of(text.as_bytes()),
            };
            Page {
                listing: Listing::new(vec![entry], &Limits::standard()).unwrap(),
                bytes: Some(text.as_bytes().to_vec()),
            }
        }

        fn unreadable(text: &str) -> Page {
            Page {
                bytes: None,
                ..Page::new(text)
            }
        }

        fn tree(&self) -> Tree<'_> {
            Tree {
                listing: &self.listing,
                contents: self,
            }
        }
    }

    impl Contents for Page {
        fn read(&self, _: usize) -> io::Result<FileBytes> {
            let bytes = self.bytes.clone();
            Ok(FileBytes::Owned(
                bytes.ok_or(io::ErrorKind::PermissionDenied)?,
            ))
        }
    }

    fn lesson(salt: u32) -> String {
        let line = |n: u32| format!("{n} {}\n", n.wrapping_mul(2_654_435_761 ^ (n / 50 * salt)));
        (0..2_000).map(line).collect()
    }

    fn built<T>(new: &Page, work: impl FnOnce(&DeltaBuilder<'_>) -> T) -> T {
        let scratch = tempfile::tempdir().unwrap();
        work(&DeltaBuilder {
            new: new.tree(),
            settings: &DeltaSettings::default(),
            scratch: scratch.path(),
            listener: &Quiet,
            cancel: &CancelToken::new(),
        })
    }

    #[test]
    fn deltas_built_side_by_side_are_those_built_alone_in_the_order_asked_for() {
        let (new, nothing) = (Page::new(&lesson(7)), Listing::empty());
        let labels = ["1.0", "1.1", "1.2", "1.3", "1.4", "nothing"];
        let pages: Vec<Page> = (1..)
            .zip(labels)
            .map(|(n, _)| Page::new(&lesson(n)))
            .collect();
        let mut olds = vec![OldTree::nothing(&nothing)];
        olds.extend(pages.iter().zip(labels).map(|(page, label)| OldTree {
            tree: page.tree(),
            label: Some(label),
        }));
        let told = |delta: Option<BuiltDelta>| {
            let delta = delta.unwrap();
            let written = std::fs::read(&delta.file).unwrap();
            assert_eq!(ContentReference::of(&written), delta.content);
            delta.content
        };
        let alone = olds
            .iter()
            .map(|old| built(&new, |builder| told(builder.build(*old).unwrap())));
        let alone: Vec<ContentReference> = alone.collect();
        let together: Vec<ContentReference> = built(&new, |builder| {
            let deltas = builder.build_all(&olds).unwrap();
            deltas.into_iter().map(told).collect()
        });
        assert_eq!(together, alone);
        let lengths: Vec<u64> = alone.iter().map(|content| content.length).collect();
        assert!(
            lengths[1..].iter().all(|bytes| *bytes < lengths[0]),
            "{lengths:?}"
        );
    }

    #[test]
    fn of_several_deltas_that_fail_the_first_is_told() {
        let new = Page::new(&lesson(1));
        let (sound, damaged) = (Page::new(&lesson(2)), Page::unreadable(&lesson(3)));
        let old = |page: &'static str, tree| OldTree {
            tree,
            label: Some(page),
        };
        let olds = [
            old("1.0", sound.tree()),
            old("1.1", damaged.tree()),
            old("1.2", damaged.tree()),
        ];
        match built(&new, |builder| {
            builder.build_all(&olds).map(|deltas| deltas.len())
        }) {
            Err(PublishError::Delta { from, .. }) => assert_eq!(from, "1.1"),
            other => panic!("expected a refusal, found {other:?}"),
        }
    }

    #[test]
    fn large_trees_are_compared_one_at_a_time_and_small_ones_two() {
        let mib = |count: u64| count << 20;
        assert_eq!(at_once(8, mib(1), 5), 2);
        assert_eq!(at_once(2, mib(1), 5), 2);
        assert_eq!(at_once(8, mib(100), 5), 2);
        assert_eq!(at_once(8, mib(1_000), 5), 1);
        assert_eq!((at_once(8, 0, 3), at_once(8, 0, 0)), (2, 1));
        assert_eq!(at_once(1, mib(1), 5), 1);
    }
}
