use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

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
    /// Builds the delta from nothing.
    pub(crate) fn build_from_nothing(&self) -> Result<Option<BuiltDelta>, PublishError> {
        let listing = Listing::empty();
        let old = Tree {
            listing: &listing,
            contents: &NoFiles,
        };
        self.build(old, "nothing")
    }

    /// Builds and proves the delta from `old`, which people call `name`; none when it would be too long
    /// to publish.
    pub(crate) fn build(
        &self,
        old: Tree<'_>,
        name: &str,
    ) -> Result<Option<BuiltDelta>, PublishError> {
        let file = self.scratch.join(format!("delta-{name}"));
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
