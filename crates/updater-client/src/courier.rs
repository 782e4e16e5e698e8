//! How receipts leave the device: the seam, and the ways that come with the crate.
//!
//! A courier is believed in nothing but that a receipt has arrived. Whoever takes a receipt and loses it
//! loses a count; nothing that a device does depends on it.

mod folder;
#[cfg(feature = "http")]
mod http;

use release_format::{Receipted, SignedReceipt};

pub use folder::FolderCourier;
#[cfg(feature = "http")]
pub use http::HttpCourier;

use crate::UpdateError;

/// Takes receipts to where they are counted, or nearer to it.
pub trait Courier: Send + Sync {
    /// Hands over some receipts, and returns which of them need not be sent again.
    ///
    /// # Errors
    /// [`UpdateError`] when nobody took them: they stay where they are.
    fn carry(&self, receipts: &[SignedReceipt]) -> Result<Receipted, UpdateError>;

    /// Returns where they go, as people know it, without passwords.
    fn address(&self) -> String;
}
