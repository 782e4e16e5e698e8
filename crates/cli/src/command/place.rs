//! Where a repository lies: in a folder, or in a bucket.

use std::path::Path;

use publisher::{Repository, Storage};

use crate::failure::{Exit, Failure};

/// Opens the repository in a folder, or in a bucket.
pub(super) fn open(repo: &Path) -> Result<Repository, Failure> {
    Ok(match bucket(repo)? {
        Some(storage) => Repository::open_in(storage)?,
        None => Repository::open(repo)?,
    })
}

/// Returns the bucket that `s3://bucket/prefix` names, and nothing for a folder.
pub(super) fn bucket(repo: &Path) -> Result<Option<Box<dyn Storage>>, Failure> {
    match repo.to_str().filter(|address| is_bucket(address)) {
        Some(address) => connect(address).map(Some),
        None => Ok(None),
    }
}

pub(super) fn is_bucket(address: &str) -> bool {
    address.starts_with("s3://")
}

#[cfg(feature = "bucket")]
fn connect(address: &str) -> Result<Box<dyn Storage>, Failure> {
    Ok(Box::new(publisher::BucketStorage::from_env(address)?))
}

#[cfg(not(feature = "bucket"))]
fn connect(address: &str) -> Result<Box<dyn Storage>, Failure> {
    let message = format!("{address}: this program was built without buckets");
    Err(Failure::new(Exit::Unsupported, "no-buckets", message))
}

/// Refuses to look for keys beside a bucket.
pub(super) fn no_keys_beside(repo: &Path) -> Result<(), Failure> {
    if repo.to_str().is_some_and(is_bucket) {
        let message = format!("{} has no folder beside it for keys", repo.display());
        return Err(Failure::new(Exit::Usage, "no-key-folder", message)
            .with_remedy("Say where the keys are with --keys."));
    }
    Ok(())
}
