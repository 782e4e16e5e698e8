//! What the library's records have in common: JSON with a format version, read strictly.

use std::path::Path;

use diff_core::Digest;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::UpdateError;

/// Why bytes are not the record that they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// Written by a newer Satchel: intact, and not to be touched by this one.
    #[error("format {found}, this Satchel reads up to {supported}")]
    NewerFormat {
        /// The version found.
        found: u64,
        /// The newest version that is read.
        supported: u64,
    },
    /// Written by none.
    #[error("expected {expected}, found {found}")]
    Damaged {
        /// What the format asks for.
        expected: String,
        /// What is there.
        found: String,
    },
}

impl RecordError {
    /// Returns the error of bytes that no Satchel wrote.
    pub(crate) fn damaged(expected: impl ToString, found: impl ToString) -> RecordError {
        RecordError::Damaged {
            expected: expected.to_string(),
            found: found.to_string(),
        }
    }

    /// Returns what this means to a caller, for the file at `path`.
    pub(crate) fn at(self, path: &Path) -> UpdateError {
        let at = path.to_owned();
        match self {
            RecordError::NewerFormat { found, supported } => UpdateError::NewerFormat {
                at,
                found,
                supported,
            },
            RecordError::Damaged { expected, found } => UpdateError::Damaged {
                at,
                expected,
                found,
            },
        }
    }
}

/// Returns the record that `json` spells in a format from 1 up to `supported`.
///
/// The version is read first and the rest only when it is known, so that what a newer Satchel added
/// is told from damage.
pub(crate) fn read_json<T: DeserializeOwned>(
    json: &[u8],
    supported: u64,
) -> Result<T, RecordError> {
    let Probe { format } = serde_json::from_slice(json)
        .map_err(|e| RecordError::damaged("JSON with a format version", e))?;
    if format > supported {
        return Err(RecordError::NewerFormat {
            found: format,
            supported,
        });
    }
    if format == 0 {
        return Err(RecordError::damaged("a format version from 1 on", format));
    }
    serde_json::from_slice(json)
        .map_err(|e| RecordError::damaged(format!("a record of format {format}"), e))
}

/// Returns the JSON of a record as people can read it.
pub(crate) fn write_json(document: &impl Serialize) -> String {
    let mut text = serde_json::to_string_pretty(document)
        .expect("a document of texts and numbers is always JSON");
    text.push('\n');
    text
}

/// Returns the bytes of `text` and of a last line with its digest.
pub(crate) fn digested(mut text: String) -> Vec<u8> {
    let digest = Digest::of(text.as_bytes());
    text.push_str(&format!("{DIGEST_MARK}{digest}\n"));
    text.into_bytes()
}

/// Returns the text of a file whose last line has the digest of all lines before it.
pub(crate) fn undigested(bytes: &[u8]) -> Result<&[u8], RecordError> {
    let no_line = || RecordError::damaged("a last line with a digest", "none");
    let start = bytes
        .len()
        .checked_sub(DIGEST_LINE_BYTES)
        .ok_or_else(no_line)?;
    let (json, line) = bytes.split_at_checked(start).ok_or_else(no_line)?;
    let line = std::str::from_utf8(line).map_err(|_| no_line())?;
    let written = line
        .strip_prefix(DIGEST_MARK)
        .and_then(|rest| rest.strip_suffix('\n'));
    let expected: Digest = written
        .ok_or_else(no_line)?
        .parse()
        .map_err(|_| no_line())?;
    let found = Digest::of(json);
    if found != expected {
        return Err(RecordError::damaged(
            format!("the digest {expected}"),
            found,
        ));
    }
    Ok(json)
}

const DIGEST_MARK: &str = "digest ";
/// Bytes of the line that [`digested`] appends.
pub(crate) const DIGEST_LINE_BYTES: usize = DIGEST_MARK.len() + 2 * Digest::LENGTH + 1;

/// All that every version of every record has.
#[derive(Deserialize)]
struct Probe {
    format: u64,
}
