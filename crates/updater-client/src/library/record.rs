//! What the library's records have in common: JSON with a format version, read strictly.

use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

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

/// All that every version of every record has.
#[derive(Deserialize)]
struct Probe {
    format: u64,
}
