//! The device's side of Satchel.

mod clock;
mod error;
mod event;
pub mod library;

pub use clock::{Clock, SystemClock};
pub use error::{ErrorKind, UpdateError};
pub use event::{Event, Observer, Unobserved};
