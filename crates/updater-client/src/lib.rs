//! The device's side of Satchel.

mod clock;
mod error;
mod event;
pub mod library;
pub mod transport;

pub use clock::{Clock, SystemClock};
pub use error::{ErrorKind, UpdateError};
pub use event::{Event, Observer, Unobserved};
pub use transport::{Body, FolderTransport, Transport, TransportError};
#[cfg(feature = "http")]
pub use transport::{HttpTransport, HttpTransportBuilder};
