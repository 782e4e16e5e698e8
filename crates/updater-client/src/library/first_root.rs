//! By which devices that follow one repository recognise each other.

use diff_core::Digest;
use release_format::TrustLimits;

use super::disk::Disk;
use super::trust_layout::TrustLayout;
use crate::error::UpdateError;

/// Returns the digest of the oldest root that is stored: as a rule the one that the device was enrolled
/// with.
///
/// # Errors
/// [`UpdateError::Damaged`] where there is none; [`UpdateError::Disk`].
pub fn first_root(disk: &dyn Disk, trust: &TrustLayout) -> Result<Digest, UpdateError> {
    let entries = disk.list(&trust.roots())?;
    let versions = entries
        .iter()
        .filter_map(|entry| trust.root_version(entry.name.to_str()?));
    let most = TrustLimits::standard().root_bytes;
    let oldest = match versions.min() {
        Some(version) => disk.read(&trust.root(version), most)?,
        None => None,
    };
    match oldest {
        Some(bytes) => Ok(Digest::of(&bytes)),
        None => Err(UpdateError::Damaged {
            at: trust.roots(),
            expected: "the root that the device was enrolled with".to_owned(),
            found: "none".to_owned(),
        }),
    }
}
