//! Power cuts on paper: a disk that remembers every call, and all that a crash may leave of them.
//!
//! [`SimDisk`] works on a real folder and writes down what it was told. [`Cache`] replays that, and
//! keeps apart what is durable from what only the running system sees; from it [`crashes`] makes the
//! [`Image`]s that a power cut at that moment may leave. A test builds each and opens it as the next
//! process would.

mod cache;
mod crash;
mod disk;
mod image;
mod trace;

pub use cache::{Cache, Durability};
pub use crash::{Crash, crashes, least};
pub use disk::{Script, SimDisk, Trouble};
pub use image::Image;
pub use trace::{Call, Step, Trace};
