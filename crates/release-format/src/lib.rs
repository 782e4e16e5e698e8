//! What is published, and what is believed.

mod error;
mod name;
mod reference;
mod utc;
mod verified;
mod version;

pub use error::{Document, FormatError};
pub use name::{ChannelName, Label, NameError, PackName};
pub use reference::ContentReference;
pub use utc::{UtcTime, UtcTimeError};
pub use verified::Verified;
pub use version::ContentVersion;
