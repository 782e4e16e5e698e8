//! What is published, and what is believed.

mod name;
mod version;

pub use name::{ChannelName, Label, NameError, PackName};
pub use version::ContentVersion;
