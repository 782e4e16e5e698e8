mod answer;
mod line;
mod tls;

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use diff_core::ContentPath;
use reqwest::redirect::{Action, Attempt, Policy};
use reqwest::{Client, Url};

use self::answer::{Question, Sent, without_login};
use self::line::{Line, Patience};
use super::{Body, Https, Transport, TransportError, within};
use crate::clock::{Clock, SystemClock};

/// A mirror behind HTTP or HTTPS: a CDN, a bucket, a laptop in the same room.
///
/// Safe to make, use and drop anywhere, from inside an async runtime too: all transfers run on one
/// thread of their own, which starts with the first and ends when the transport and all of its bodies
/// are gone. A body that is read slowly slows its line down; one that is dropped ends its transfer at
/// once. Proxies are those of the environment (`HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY`), and none for
/// an address of this device itself.
///
/// HTTPS serves privacy; trust never rests on it.
pub struct HttpTransport {
    base: Url,
    address: String,
    patience: Patience,
    keeps_escapes: bool,
    client: Client,
    line: Mutex<Option<Arc<Line>>>,
}

impl HttpTransport {
    /// How long connecting may take unless the host says otherwise.
    pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
    /// How long nothing may arrive unless the host says otherwise.
    pub const STALL_TIMEOUT: Duration = Duration::from_secs(30);
    /// How often in a row a server may send on to another address.
    pub const MAX_REDIRECTS: usize = 5;

    /// Returns the transport of the mirror at `url`, which begins with `http://` or `https://`.
    ///
    /// # Errors
    /// [`TransportError::Address`] when it is no such address.
    ///
    /// ```
    /// use updater_client::{HttpTransport, Transport};
    /// let mirror = HttpTransport::new("https://ada:secret@mirror.example/packs/")?;
    /// assert_eq!(mirror.address(), "https://mirror.example/packs");
    /// # Ok::<(), updater_client::TransportError>(())
    /// ```
    pub fn new(url: &str) -> Result<HttpTransport, TransportError> {
        HttpTransport::builder(url).build()
    }

    /// Returns a builder for the transport of the mirror at `url`, for other settings than the
    /// standard ones.
    pub fn builder(url: &str) -> HttpTransportBuilder {
        HttpTransportBuilder {
            url: url.to_owned(),
            connect: HttpTransport::CONNECT_TIMEOUT,
            stall: HttpTransport::STALL_TIMEOUT,
            https: Https::new(),
            clock: Arc::new(SystemClock),
            keeps_escapes: false,
        }
    }

    fn question(&self, location: ContentPath, from: u64) -> Result<Question, TransportError> {
        let mut url = self.base.clone();
        if self.keeps_escapes {
            let folder = url.path().trim_end_matches('/');
            let path = format!("{folder}/{location}");
            url.set_path(&path);
            return Ok(self.question_at(url, location, from));
        }
        match url.path_segments_mut() {
            Ok(mut path) => path.pop_if_empty().extend(location.components()),
            Err(()) => return Err(wrong_address(&self.address, "it has no path")),
        };
        Ok(self.question_at(url, location, from))
    }

    fn question_at(&self, url: Url, location: ContentPath, from: u64) -> Question {
        Question {
            mirror: self.address.clone(),
            location,
            url,
            from,
            sent: None,
        }
    }

    fn line(&self) -> Result<Arc<Line>, TransportError> {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = &*line {
            return Ok(Arc::clone(line));
        }
        let started = Line::start(self.client.clone(), self.patience).map_err(|failed| {
            TransportError::Unreachable {
                address: self.address.clone(),
                reason: format!("no thread for transfers: {failed}"),
            }
        })?;
        Ok(Arc::clone(line.insert(started)))
    }
}

impl HttpTransport {
    /// Sends `body`, of this content type, to `location`, and returns the answer; `token` is shown as a bearer's.
    ///
    /// # Errors
    /// [`TransportError`], as [`Transport::open`].
    pub fn post(
        &self,
        location: &str,
        content_type: &'static str,
        token: Option<&str>,
        body: Vec<u8>,
    ) -> Result<Body, TransportError> {
        let mut question = self.question(within(location)?, 0)?;
        let token = token.map(str::to_owned);
        question.sent = Some(Sent {
            content_type,
            token,
            body,
        });
        self.line()?.open(question)
    }
}

impl Transport for HttpTransport {
    fn open(&self, location: &str, from: u64) -> Result<Body, TransportError> {
        let question = self.question(within(location)?, from)?;
        self.line()?.open(question)
    }

    fn address(&self) -> String {
        self.address.clone()
    }
}

impl fmt::Debug for HttpTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpTransport")
            .field("address", &self.address)
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}

/// Builds an [`HttpTransport`].
pub struct HttpTransportBuilder {
    url: String,
    connect: Duration,
    stall: Duration,
    https: Https,
    clock: Arc<dyn Clock>,
    keeps_escapes: bool,
}

impl HttpTransportBuilder {
    /// Gives up connecting after `timeout` rather than [`HttpTransport::CONNECT_TIMEOUT`].
    pub fn connect_timeout(mut self, timeout: Duration) -> HttpTransportBuilder {
        self.connect = timeout;
        self
    }

    /// Gives a transfer up once nothing arrived for `timeout` rather than
    /// [`HttpTransport::STALL_TIMEOUT`].
    pub fn stall_timeout(mut self, timeout: Duration) -> HttpTransportBuilder {
        self.stall = timeout;
        self
    }

    /// Speaks HTTPS as `https` says.
    pub fn https(mut self, https: Https) -> HttpTransportBuilder {
        self.https = https;
        self
    }

    /// Judges certificates at the time of `clock` rather than at the system's.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> HttpTransportBuilder {
        self.clock = clock;
        self
    }

    /// Takes a `%` in a location as the beginning of an escape rather than as itself: for repositories
    /// that name a role's file by its address, as other clients of The Update Framework ask for it,
    /// and not by its name on the publisher's disk. It matters only where a role's name has characters
    /// that ours never has.
    pub fn keep_escapes(mut self) -> HttpTransportBuilder {
        self.keeps_escapes = true;
        self
    }

    /// Returns the transport; nothing is connected yet.
    ///
    /// # Errors
    /// [`TransportError::Address`] when the address is not one of HTTP or HTTPS, and
    /// [`TransportError::Roots`] or [`TransportError::Identity`] when the extra roots are no
    /// certificates in PEM, or the identity is none with its key.
    pub fn build(self) -> Result<HttpTransport, TransportError> {
        let base = parse_base(&self.url)?;
        let address = without_login(&base)
            .as_str()
            .trim_end_matches('/')
            .to_owned();
        let unusable = |failed: &dyn fmt::Display| wrong_address(&address, &failed.to_string());
        let tls = tls::settings(&self.https, self.clock)?;
        let mut client = Client::builder()
            .user_agent(USER_AGENT)
            .connect_timeout(self.connect)
            .redirect(Policy::custom(follow))
            .referer(false)
            .tls_backend_preconfigured(tls);
        if is_this_device(&base) {
            client = client.no_proxy();
        }
        let client = client.build().map_err(|failed| unusable(&failed))?;
        let patience = Patience {
            connect: self.connect,
            stall: self.stall,
        };
        let line = Mutex::new(None);
        Ok(HttpTransport {
            base,
            address,
            patience,
            keeps_escapes: self.keeps_escapes,
            client,
            line,
        })
    }
}

/// A redirect that is not followed becomes the answer, and is judged as such.
fn follow(attempt: Attempt<'_>) -> Action {
    let is_http = matches!(attempt.url().scheme(), "http" | "https");
    if is_http && attempt.previous().len() <= HttpTransport::MAX_REDIRECTS {
        attempt.follow()
    } else {
        attempt.stop()
    }
}

fn parse_base(text: &str) -> Result<Url, TransportError> {
    let url = Url::parse(text).map_err(|failed| wrong_address(text, &failed.to_string()))?;
    let address = without_login(&url);
    let wrong = |reason| Err(wrong_address(address.as_str(), reason));
    if !matches!(url.scheme(), "http" | "https") {
        return wrong("expected http:// or https://");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return wrong("expected a plain folder, without ? and #");
    }
    Ok(url)
}

/// No proxy leads back to the device that asks it.
fn is_this_device(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let number: Result<IpAddr, _> = host.trim_matches(['[', ']']).parse();
    number.map_or(host == "localhost", |number| number.is_loopback())
}

fn wrong_address(address: &str, reason: &str) -> TransportError {
    TransportError::Address {
        address: address.to_owned(),
        reason: reason.to_owned(),
    }
}

const USER_AGENT: &str = concat!("satchel/", env!("CARGO_PKG_VERSION"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_are_no_mirror_are_refused() {
        for (url, said) in [
            ("", "relative URL"),
            ("mirror.example/packs", "relative URL"),
            ("ftp://mirror.example", "expected http"),
            ("file:///media/stick", "expected http"),
            ("https://mirror.example/?a=b", "without ?"),
            ("https://mirror.example/#a", "without ?"),
            ("http://", "empty host"),
        ] {
            let refused = HttpTransport::new(url).unwrap_err();
            assert!(
                matches!(&refused, TransportError::Address { reason, .. } if reason.contains(said)),
                "{url:?}: {refused:?}"
            );
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        for url in [
            "https://ada:secret@mirror.example",
            "ftp://ada:secret@mirror.example",
        ] {
            let shown = match HttpTransport::new(url) {
                Ok(transport) => format!("{transport:?} {}", transport.address()),
                Err(refused) => format!("{refused:?} {refused}"),
            };
            assert!(!shown.contains("secret"), "{shown}");
        }
    }

    #[test]
    fn a_location_is_spelled_so_that_the_server_gets_it_unchanged() {
        let transport = HttpTransport::new("http://mirror.example/a%20b/").unwrap();
        let location = ContentPath::parse("metadata/1.ac%2Fme #ü.json").unwrap();
        let question = transport.question(location, 0).unwrap();
        assert_eq!(
            question.url.as_str(),
            "http://mirror.example/a%20b/metadata/1.ac%252Fme%20%23%C3%BC.json"
        );
    }

    #[test]
    fn escapes_are_kept_where_that_is_asked_for() {
        let transport = HttpTransport::builder("http://mirror.example/a/").keep_escapes();
        let location = ContentPath::parse("metadata/1...%2Fac%3Fme #.json").unwrap();
        let question = transport.build().unwrap().question(location, 0).unwrap();
        assert_eq!(
            question.url.as_str(),
            "http://mirror.example/a/metadata/1...%2Fac%3Fme%20%23.json"
        );
    }

    #[test]
    fn only_this_device_is_reached_without_the_proxy() {
        for (url, expected) in [
            ("http://127.0.0.1:8080", true),
            ("http://[::1]/", true),
            ("http://localhost", true),
            ("http://192.168.1.4", false),
            ("http://localhost.example", false),
        ] {
            assert_eq!(is_this_device(&Url::parse(url).unwrap()), expected, "{url}");
        }
    }
}
