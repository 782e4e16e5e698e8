//! How published files reach the device: the seam, and the ways that come with the crate.
//!
//! A transport is believed in nothing. Whatever it brings is compared with signed metadata, so plain
//! HTTP, a stick and a neighbour's laptop are equally safe; what a transport owes is to tell an absent
//! file from a mirror out of reach, to begin where it was asked or say where else, and to report a body
//! that broke off as such.

mod folder;
mod health;
#[cfg(feature = "http")]
mod http;
mod https;
mod mirrors;
mod nearby;
mod waits;

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use diff_core::{ContentPath, PathError};

pub use folder::FolderTransport;
pub(crate) use health::{Health, Rest};
#[cfg(feature = "http")]
pub use http::{HttpTransport, HttpTransportBuilder};
pub use https::Https;
pub use mirrors::Mirrors;
pub(crate) use nearby::Nearby;
pub(crate) use waits::{doubled, jittered};

/// Brings published files from one mirror of a repository.
///
/// Hosts implement it for a network of their own. Calls come from any thread, several at once, and
/// block; a [`Body`] that nobody reads on must not keep another from being opened.
pub trait Transport: Send + Sync {
    /// Opens the file at `location`, such as `metadata/timestamp.json`, from byte `from` on.
    ///
    /// A mirror that knows no ranges may begin earlier; [`Body::starts_at`] tells where.
    ///
    /// # Errors
    /// [`TransportError`], by what the caller can do: [`TransportError::Absent`] only when the mirror
    /// was reached and has no such file, [`TransportError::PastEnd`] when it has no byte `from`.
    fn open(&self, location: &str, from: u64) -> Result<Body, TransportError>;

    /// Returns the mirror's address as people know it, without passwords.
    fn address(&self) -> String;

    /// Hears that what came of `location` last was of no use, though it came: another file, or too
    /// slow to wait for. Returns whether it comes from another mirror from now on, and not of the same
    /// one again.
    fn pass_over(&self, location: &str) -> bool {
        let _ = location;
        false
    }
}

impl<T: Transport + ?Sized> Transport for Arc<T> {
    fn open(&self, location: &str, from: u64) -> Result<Body, TransportError> {
        (**self).open(location, from)
    }

    fn address(&self) -> String {
        (**self).address()
    }

    fn pass_over(&self, location: &str) -> bool {
        (**self).pass_over(location)
    }
}

impl<T: Transport + ?Sized> Transport for Box<T> {
    fn open(&self, location: &str, from: u64) -> Result<Body, TransportError> {
        (**self).open(location, from)
    }

    fn address(&self) -> String {
        (**self).address()
    }

    fn pass_over(&self, location: &str) -> bool {
        (**self).pass_over(location)
    }
}

/// A file that is arriving; dropping it ends the transfer.
pub struct Body {
    /// Yields the bytes. Its errors wrap a [`TransportError`], which
    /// [`TransportError::from_body`] takes out again.
    pub reader: Box<dyn Read + Send>,
    /// Which byte of the file comes first: the one asked for, or 0 from a mirror without ranges.
    pub starts_at: u64,
    /// How many bytes the mirror claims that the whole file has, where it says so.
    pub total: Option<u64>,
    /// What the mirror says the file is, where it says so.
    pub content_type: Option<String>,
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body")
            .field("starts_at", &self.starts_at)
            .field("total", &self.total)
            .field("content_type", &self.content_type)
            .finish_non_exhaustive()
    }
}

/// Why a file did not arrive.
///
/// Positions are bytes of the whole file, also where only its end was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The mirror was reached and has no such file.
    #[error("the mirror has no {location}")]
    Absent {
        /// The file.
        location: String,
    },
    /// The mirror was not reached: no network, no such host, no stick.
    #[error("{address} is out of reach: {reason}")]
    Unreachable {
        /// The mirror.
        address: String,
        /// What stood in the way.
        reason: String,
    },
    /// The body ended before what was announced.
    #[error("{location} broke off at byte {received}{}", expected.map_or(String::new(), |e| format!(", announced up to {e}")))]
    Interrupted {
        /// The file.
        location: String,
        /// The first byte that did not arrive.
        received: u64,
        /// The byte behind the last one announced, where any was.
        expected: Option<u64>,
    },
    /// Nothing arrived for too long.
    #[error("{location}: nothing arrived for {} s at byte {received}", after.as_secs_f32())]
    Timeout {
        /// The file.
        location: String,
        /// The first byte that did not arrive.
        received: u64,
        /// How long nothing arrived.
        after: Duration,
    },
    /// What arrives, arrives too slowly for a line that works: a mirror that holds its devices back.
    #[error("{location}: {received} bytes in {} s are too few to wait for the rest", after.as_secs())]
    TooSlow {
        /// The file.
        location: String,
        /// Bytes that arrived in this transfer.
        received: u64,
        /// How long that took.
        after: Duration,
    },
    /// Reading the file failed, on a stick that goes bad or in a host's own transport.
    #[error("{location} cannot be read: {reason}")]
    Unreadable {
        /// The file.
        location: String,
        /// What the system says.
        reason: String,
    },
    /// The server, or a proxy before it, answers with a status that brings no file.
    #[error("{location} is answered with status {status}")]
    Status {
        /// The file.
        location: String,
        /// The status of HTTP.
        status: u16,
    },
    /// The mirror has not been made readable for this device.
    #[error("{location} is forbidden: {reason}")]
    Forbidden {
        /// The file.
        location: String,
        /// The server's status, or what the system says.
        reason: String,
    },
    /// The proxy wants a name and a password.
    #[error("the proxy on the way to {address} wants a login")]
    ProxyLogin {
        /// The mirror.
        address: String,
    },
    /// The server is not proved to be the one that the address names.
    #[error("the certificate of {address} is refused: {reason}")]
    Certificate {
        /// The mirror.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A web page where a published file should be: most likely the login page of the network.
    #[error("{location} is answered with the web page {page}: the network may want a login")]
    CaptivePortal {
        /// The file.
        location: String,
        /// The page's address.
        page: String,
    },
    /// The server sends on to nowhere, in circles, or to what is not HTTP.
    #[error("{location} is sent on to {to:?}, which is not followed")]
    Redirected {
        /// The file.
        location: String,
        /// Where to, as the server spells it.
        to: String,
    },
    /// The answer is another part of the file than the one asked for.
    #[error("{location}: expected bytes from {asked} on, found {found:?}")]
    WrongRange {
        /// The file.
        location: String,
        /// The first byte asked for.
        asked: u64,
        /// What the answer says of itself.
        found: String,
    },
    /// The mirror's file ends before the first byte asked for: it is whole already, or another file.
    #[error("{location} has no byte {asked}{}", total.map_or(String::new(), |t| format!(", it has {t} bytes")))]
    PastEnd {
        /// The file.
        location: String,
        /// The first byte asked for.
        asked: u64,
        /// How many bytes the mirror claims that it has, where it says so.
        total: Option<u64>,
    },
    /// The bytes are encoded, though nobody asked for that: a proxy that means well.
    #[error("{location} arrives encoded as {encoding:?}, expected the plain file")]
    Encoded {
        /// The file.
        location: String,
        /// The encoding.
        encoding: String,
    },
    /// The file has more bytes than trusted metadata allows it.
    #[error("{location} has more than {limit} bytes")]
    TooLong {
        /// The file.
        location: String,
        /// Bytes allowed.
        limit: u64,
    },
    /// The location is none within a repository.
    #[error("no location in a repository: {0}")]
    Location(#[from] PathError),
    /// The extra roots of HTTPS cannot be used.
    #[error("the extra roots are no certificates in PEM: {reason}")]
    Roots {
        /// What is wrong with them.
        reason: String,
    },
    /// What the device should show of itself to servers is no certificate with its key.
    #[error("not usable as an identity for HTTPS: {reason}")]
    Identity {
        /// What is wrong with it.
        reason: String,
    },
    /// The mirror's address cannot be used.
    #[error("{address:?} is no address of a mirror: {reason}")]
    Address {
        /// The address.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl TransportError {
    /// Returns the error that a [`Body`]'s reader wrapped in `source`.
    pub fn from_body(location: &str, source: io::Error) -> TransportError {
        source
            .downcast::<TransportError>()
            .unwrap_or_else(|source| TransportError::Unreadable {
                location: location.to_owned(),
                reason: source.to_string(),
            })
    }

    /// Whether the same request may well succeed at once or after a short while.
    pub fn is_retryable(&self) -> bool {
        match self {
            TransportError::Interrupted { .. }
            | TransportError::Timeout { .. }
            | TransportError::Unreachable { .. }
            | TransportError::Unreadable { .. } => true,
            TransportError::Status { status, .. } => {
                matches!(status, 408 | 425 | 429 | 500 | 502..=504 | 520..=599)
            }
            _ => false,
        }
    }

    /// Whether this mirror is of no use at present, so that another, or another time, may do better.
    pub fn is_unreachable(&self) -> bool {
        !matches!(
            self,
            TransportError::Absent { .. }
                | TransportError::PastEnd { .. }
                | TransportError::TooLong { .. }
                | TransportError::Location(_)
                | TransportError::Roots { .. }
                | TransportError::Identity { .. }
                | TransportError::Address { .. }
        )
    }

    /// Whether somebody has to change something on the device or its network first: sign in to it,
    /// give a proxy's password, set the clock, allow access.
    pub fn needs_administrator(&self) -> bool {
        matches!(
            self,
            TransportError::Forbidden { .. }
                | TransportError::ProxyLogin { .. }
                | TransportError::Certificate { .. }
                | TransportError::CaptivePortal { .. }
                | TransportError::Encoded { .. }
        )
    }

    /// Returns a name of the error that stays the same across versions and languages.
    pub fn code(&self) -> &'static str {
        match self {
            TransportError::Absent { .. } => "absent",
            TransportError::Unreachable { .. } => "unreachable",
            TransportError::Interrupted { .. } => "interrupted",
            TransportError::Timeout { .. } => "timeout",
            TransportError::TooSlow { .. } => "too-slow",
            TransportError::Unreadable { .. } => "unreadable",
            TransportError::Status { .. } => "wrong-status",
            TransportError::Forbidden { .. } => "forbidden",
            TransportError::ProxyLogin { .. } => "proxy-login",
            TransportError::Certificate { .. } => "wrong-certificate",
            TransportError::CaptivePortal { .. } => "captive-portal",
            TransportError::Redirected { .. } => "wrong-redirect",
            TransportError::WrongRange { .. } => "wrong-range",
            TransportError::PastEnd { .. } => "past-end",
            TransportError::Encoded { .. } => "encoded",
            TransportError::TooLong { .. } => "too-long",
            TransportError::Location(_) => "wrong-location",
            TransportError::Roots { .. } => "wrong-roots",
            TransportError::Identity { .. } => "wrong-identity",
            TransportError::Address { .. } => "wrong-address",
        }
    }

    /// Returns what the caller can do about it, in one sentence.
    pub fn remedy(&self) -> &'static str {
        match self {
            TransportError::Unreachable { .. } => {
                "Connect to the network or plug the stick in, then try again."
            }
            TransportError::Interrupted { .. }
            | TransportError::Timeout { .. }
            | TransportError::Status { .. } => "Try again later; it goes on where it stopped.",
            TransportError::Unreadable { .. } => "Try again, or take another stick.",
            TransportError::Forbidden { .. } => {
                "Ask an administrator to make the repository readable for this device."
            }
            TransportError::ProxyLogin { .. } => "Ask an administrator for access to the proxy.",
            TransportError::Certificate { .. } => {
                "Check the device's clock, then ask an administrator about the network."
            }
            TransportError::CaptivePortal { .. } => {
                "Sign in to the network in a browser, then try again."
            }
            TransportError::Encoded { .. } => {
                "Ask an administrator to let the proxy pass files unchanged."
            }
            TransportError::Absent { .. }
            | TransportError::Redirected { .. }
            | TransportError::WrongRange { .. }
            | TransportError::PastEnd { .. }
            | TransportError::TooSlow { .. }
            | TransportError::TooLong { .. } => {
                "Try another mirror; if it happens again, tell whoever runs this one."
            }
            TransportError::Location(_) => "Tell whoever publishes the repository.",
            TransportError::Roots { .. } => "Give the roots as certificates in PEM.",
            TransportError::Identity { .. } => {
                "Give a certificate and its private key, both as PEM, in one file."
            }
            TransportError::Address { .. } => "Check the mirror's address.",
        }
    }
}

impl From<TransportError> for io::Error {
    fn from(error: TransportError) -> io::Error {
        io::Error::other(error)
    }
}

/// Returns the proof that `location` stays within the repository on every platform.
pub(crate) fn within(location: &str) -> Result<ContentPath, TransportError> {
    Ok(ContentPath::parse(location)?)
}

#[cfg(test)]
mod tests {
    use diff_core::PathRule;

    use super::*;

    #[test]
    fn an_error_survives_the_way_through_a_reader() {
        let failed = TransportError::Interrupted {
            location: "content/ab/abcd".to_owned(),
            received: 7,
            expected: Some(9),
        };
        let through = TransportError::from_body("content/ab/abcd", failed.clone().into());
        assert_eq!(through, failed);
        let said = "content/ab/abcd broke off at byte 7, announced up to 9";
        assert_eq!(failed.to_string(), said);
    }

    #[test]
    fn an_error_of_a_foreign_reader_names_the_file() {
        let failed = TransportError::from_body("x", io::Error::other("bad sector"));
        let (location, reason) = ("x".to_owned(), "bad sector".to_owned());
        assert_eq!(failed, TransportError::Unreadable { location, reason });
    }

    #[test]
    fn locations_that_lead_out_are_refused() {
        for (location, broken) in [
            ("../secret", PathRule::Climbing),
            ("metadata/../../secret", PathRule::Climbing),
            ("/etc/passwd", PathRule::Empty),
            ("C:/secret", PathRule::ForbiddenCharacter),
            ("metadata\\secret", PathRule::ForbiddenCharacter),
            ("metadata/a\r\nb", PathRule::ForbiddenCharacter),
        ] {
            match within(location) {
                Err(TransportError::Location(refused)) => assert_eq!(refused.rule(), broken),
                other => panic!("{location:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn only_statuses_that_pass_are_worth_another_try() {
        let retryable = |status| {
            let location = String::new();
            TransportError::Status { location, status }.is_retryable()
        };
        for status in [408, 429, 500, 502, 503, 504, 522] {
            assert!(retryable(status), "{status}");
        }
        for status in [204, 304, 400, 405, 451, 501, 505] {
            assert!(!retryable(status), "{status}");
        }
    }
}
