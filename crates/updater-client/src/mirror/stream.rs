use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use diff_core::Listing;
use release_format::Manifest;

use crate::library::disk::Disk;
use crate::step::chunks::bounds;

/// An installed release as its publisher cut it: its files, one behind the other, in the order of its
/// manifest.
///
/// What is read of it proves nothing: a file may be damaged, or gone the next moment.
pub(crate) struct Stream {
    tree: PathBuf,
    manifest: Manifest,
    /// Where each file begins, and where the last one ends.
    bounds: Vec<u64>,
}

impl Stream {
    /// Returns the stream of the release with this manifest, whose files lie below `tree`.
    pub(crate) fn new(tree: PathBuf, manifest: Manifest) -> Stream {
        Stream {
            tree,
            bounds: bounds(manifest.listing()),
            manifest,
        }
    }

    /// Returns the files.
    pub(crate) fn listing(&self) -> &Listing {
        self.manifest.listing()
    }

    /// Returns the folder that the files lie in.
    pub(crate) fn tree(&self) -> &Path {
        &self.tree
    }

    /// Returns the bytes of a short part, such as a chunk.
    ///
    /// # Errors
    /// Whatever keeps a file from being read; [`io::ErrorKind::UnexpectedEof`] for one that is shorter
    /// than it should be.
    pub(crate) fn read(&self, disk: &dyn Disk, range: Range<u64>) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let first = self.bounds.partition_point(|begin| *begin <= range.start);
        let files = self.listing().entries().iter();
        let spans = self.bounds.iter().zip(self.bounds.iter().skip(1));
        let spans = files.zip(spans).skip(first.saturating_sub(1));
        for (file, (begin, end)) in spans {
            if *begin >= range.end {
                break;
            }
            let (from, to) = (range.start.max(*begin), range.end.min(*end));
            let Some(wanted) = to.checked_sub(from).filter(|wanted| *wanted > 0) else {
                continue;
            };
            let opened = disk.open_at(&file.path.under(&self.tree), from - begin);
            let reader = opened.map_err(io::Error::other)?;
            let read = reader.take(wanted).read_to_end(&mut bytes)?;
            if read as u64 != wanted {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use diff_core::{ContentPath, Digest, Entry, Limits};
    use release_format::{Label, PackName};

    use super::*;
    use crate::library::disk::RealDisk;

    #[test]
    fn a_part_is_read_over_the_files_that_hold_it_and_short_files_are_told() {
        let temporary = tempfile::tempdir().unwrap();
        let files = [("a", &b"abc"[..]), ("b", b""), ("c", b"defgh")];
        let entries = files.iter().map(|(path, bytes)| {
            std::fs::write(temporary.path().join(path), bytes).unwrap();
            Entry {
                path: ContentPath::parse(path).unwrap(),
                length: bytes.len() as u64,
                digest: Digest::of(bytes),
            }
        });
        let listing = Listing::new(entries.collect(), &Limits::standard()).unwrap();
        let pack = PackName::parse("acme/biology").unwrap();
        let manifest = Manifest::new(pack, Label::parse("1.0").unwrap(), 1, listing);
        let stream = Stream::new(temporary.path().to_owned(), manifest);
        let disk = RealDisk::new();
        for (range, expected) in [
            (0..8, &b"abcdefgh"[..]),
            (0..3, b"abc"),
            (2..4, b"cd"),
            (3..4, b"d"),
            (7..8, b"h"),
            (8..9, b""),
        ] {
            let found = stream.read(&disk, range.clone()).unwrap();
            assert_eq!(found, expected, "{range:?}");
        }
        std::fs::write(temporary.path().join("a"), b"ab").unwrap();
        let failed = stream.read(&disk, 1..4).unwrap_err();
        assert_eq!(failed.kind(), io::ErrorKind::UnexpectedEof);
        std::fs::remove_file(temporary.path().join("c")).unwrap();
        assert!(stream.read(&disk, 4..5).is_err());
    }
}
