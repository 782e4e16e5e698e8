use crate::error::DiffError;
use crate::{FileBytes, Tree};

/// Reads the file at `index` of a tree, which must still have the length that its listing gives.
pub(super) fn read(tree: Tree<'_>, index: usize) -> Result<FileBytes, DiffError> {
    let entry = tree.listing.entries().get(index);
    let entry = entry.ok_or(DiffError::Limit {
        what: "index of a file",
        claimed: index as u64,
        limit: tree.listing.entries().len() as u64,
    })?;
    let bytes = tree.contents.read(index).map_err(|source| DiffError::Io {
        path: entry.path.clone(),
        source,
    })?;
    let found = bytes.len() as u64;
    if found != entry.length {
        return Err(DiffError::Changed {
            path: entry.path.clone(),
            expected: entry.length,
            found,
        });
    }
    Ok(bytes)
}
