use diff_core::ContentPath;
use reqwest::header::{
    CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderName, LOCATION,
};
use reqwest::{StatusCode, Url};

use crate::transport::TransportError;

/// What is asked of a server.
#[derive(Debug, Clone)]
pub(super) struct Question {
    /// The mirror's address as people know it.
    pub(super) mirror: String,
    pub(super) location: ContentPath,
    pub(super) url: Url,
    pub(super) from: u64,
    /// What is sent along, where the question is one.
    pub(super) sent: Option<Sent>,
}

/// What is sent along with a question.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) content_type: &'static str,
    pub(super) token: Option<String>,
    pub(super) body: Vec<u8>,
}

/// What a server says before the first byte of the file.
pub(super) struct Answer<'a> {
    pub(super) status: StatusCode,
    pub(super) headers: &'a HeaderMap,
    /// Where the answer came from, once redirects were followed.
    pub(super) url: &'a Url,
    /// Bytes of the body, where they are announced.
    pub(super) length: Option<u64>,
}

/// A body that is worth reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) starts_at: u64,
    /// The byte behind the last one announced.
    pub(super) ends_at: Option<u64>,
    pub(super) total: Option<u64>,
    pub(super) content_type: Option<String>,
}

/// Judges an answer by its head alone.
pub(super) fn judge(asked: &Question, answer: &Answer<'_>) -> Result<Head, TransportError> {
    let location = || asked.location.to_string();
    let content_type = text(answer.headers, CONTENT_TYPE);
    let is_page = content_type.as_deref().is_some_and(is_web_page);
    let is_elsewhere = answer.url.host_str() != asked.url.host_str();
    let status = answer.status.as_u16();
    // A server's own page that says "not found" is an honest answer, also behind a redirect.
    if matches!(status, 404 | 410) {
        return Err(TransportError::Absent {
            location: location(),
        });
    }
    if status == LOGIN_REQUIRED || is_page && (is_elsewhere || answer.status.is_success()) {
        return Err(TransportError::CaptivePortal {
            location: location(),
            page: without_login(answer.url).to_string(),
        });
    }
    let head = match status {
        200 => whole(answer, content_type),
        206 => part(asked, answer, content_type)?,
        300..=399 if answer.headers.contains_key(LOCATION) => {
            return Err(TransportError::Redirected {
                location: location(),
                to: text(answer.headers, LOCATION).unwrap_or_default(),
            });
        }
        401 | 403 => {
            return Err(TransportError::Forbidden {
                location: location(),
                reason: format!("status {status}"),
            });
        }
        407 => {
            return Err(TransportError::ProxyLogin {
                address: asked.mirror.clone(),
            });
        }
        416 => return Err(past_end(asked, unsatisfied_total(answer.headers))),
        _ => {
            return Err(TransportError::Status {
                location: location(),
                status,
            });
        }
    };
    match text(answer.headers, CONTENT_ENCODING) {
        Some(encoding) if !encoding.eq_ignore_ascii_case("identity") => {
            Err(TransportError::Encoded {
                location: location(),
                encoding,
            })
        }
        _ if asked.from > 0 && head.total.is_some_and(|total| total <= asked.from) => {
            Err(past_end(asked, head.total))
        }
        _ => Ok(head),
    }
}

/// The whole file, also where only a part was asked for.
fn whole(answer: &Answer<'_>, content_type: Option<String>) -> Head {
    Head {
        starts_at: 0,
        ends_at: answer.length,
        total: answer.length,
        content_type,
    }
}

fn part(
    asked: &Question,
    answer: &Answer<'_>,
    content_type: Option<String>,
) -> Result<Head, TransportError> {
    let said = text(answer.headers, CONTENT_RANGE);
    let wrong = |found: String| TransportError::WrongRange {
        location: asked.location.to_string(),
        asked: asked.from,
        found,
    };
    let Some(range) = said.as_deref().and_then(ContentRange::parse) else {
        let found = said.unwrap_or_else(|| "a part that does not say which".to_owned());
        return Err(wrong(found));
    };
    let length = range.ends_at - range.starts_at;
    if range.starts_at != asked.from {
        return Err(wrong(said.unwrap_or_default()));
    }
    if let Some(found) = answer.length.filter(|found| *found != length) {
        let said = said.unwrap_or_default();
        return Err(wrong(format!("{said} in a body of {found} bytes")));
    }
    Ok(Head {
        starts_at: range.starts_at,
        ends_at: Some(range.ends_at),
        total: range.total,
        content_type,
    })
}

/// The bytes that a part has: `bytes 5-9/10`, the last one within.
#[derive(Debug, PartialEq, Eq)]
struct ContentRange {
    starts_at: u64,
    ends_at: u64,
    total: Option<u64>,
}

impl ContentRange {
    fn parse(text: &str) -> Option<ContentRange> {
        let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let total = match total {
            "*" => None,
            total => Some(number(total)?),
        };
        let (starts_at, ends_at) = (number(first)?, number(last)?.checked_add(1)?);
        let is_within = starts_at < ends_at && total.is_none_or(|total| ends_at <= total);
        is_within.then_some(ContentRange {
            starts_at,
            ends_at,
            total,
        })
    }
}

/// What a server that has no such byte says of the whole: `bytes */10`.
fn unsatisfied_total(headers: &HeaderMap) -> Option<u64> {
    number(text(headers, CONTENT_RANGE)?.strip_prefix("bytes */")?)
}

fn past_end(asked: &Question, total: Option<u64>) -> TransportError {
    TransportError::PastEnd {
        location: asked.location.to_string(),
        asked: asked.from,
        total,
    }
}

/// Digits alone: the standard parser takes a sign as well.
fn number(text: &str) -> Option<u64> {
    let is_plain = text.bytes().all(|b| b.is_ascii_digit());
    is_plain.then(|| text.parse().ok()).flatten()
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    let value = String::from_utf8_lossy(headers.get(name)?.as_bytes());
    Some(value.trim().chars().take(MAX_TOLD_CHARACTERS).collect())
}

fn is_web_page(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("text/html") || kind.eq_ignore_ascii_case("application/xhtml+xml")
}

/// Returns the address as people may see it.
pub(super) fn without_login(url: &Url) -> Url {
    let mut shown = url.clone();
    // Addresses that cannot hold a login refuse to have it removed, which is as well.
    let _ = shown.set_password(None);
    let _ = shown.set_username("");
    shown
}

/// Network Authentication Required: a captive portal that says so.
const LOGIN_REQUIRED: u16 = 511;
const MAX_TOLD_CHARACTERS: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(
        from: u64,
        status: u16,
        length: Option<u64>,
        told: &[(HeaderName, &str)],
    ) -> Result<Head, TransportError> {
        judged_from("http://mirror.example/x", from, status, length, told)
    }

    fn judged_from(
        url: &str,
        from: u64,
        status: u16,
        length: Option<u64>,
        told: &[(HeaderName, &str)],
    ) -> Result<Head, TransportError> {
        let asked = Question {
            mirror: "http://mirror.example".to_owned(),
            location: ContentPath::parse("x").unwrap(),
            url: Url::parse("http://mirror.example/x").unwrap(),
            from,
            sent: None,
        };
        let told = told.iter().cloned();
        let headers: HeaderMap = told.map(|(name, v)| (name, v.parse().unwrap())).collect();
        let answer = Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: &headers,
            url: &Url::parse(url).unwrap(),
            length,
        };
        judge(&asked, &answer)
    }

    fn code(judged: Result<Head, TransportError>) -> &'static str {
        judged.map_or_else(|refused| refused.code(), |_| "taken")
    }

    #[test]
    fn content_ranges_are_read_strictly() {
        let range = |starts_at, ends_at, total| {
            Some(ContentRange {
                starts_at,
                ends_at,
                total,
            })
        };
        assert_eq!(ContentRange::parse("bytes 5-9/10"), range(5, 10, Some(10)));
        assert_eq!(ContentRange::parse("bytes 5-9/*"), range(5, 10, None));
        for wrong in [
            "",
            "bytes */10",
            "bytes 9-5/10",
            "bytes 5-9/9",
            "items 5-9/10",
            "bytes 5-9",
            "bytes +5-9/10",
            "bytes 5-18446744073709551615/*",
            "bytes 5-/10",
        ] {
            assert_eq!(ContentRange::parse(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_part_is_taken_only_where_it_begins_as_asked() {
        let part = |said, length| judged(5, 206, length, &[(CONTENT_RANGE, said)]);
        let head = part("bytes 5-9/10", Some(5)).unwrap();
        assert_eq!((head.starts_at, head.ends_at), (5, Some(10)));
        assert_eq!(head.total, Some(10));
        for (said, length) in [
            ("bytes 4-9/10", Some(6)),
            ("bytes 5-9/10", Some(4)),
            ("bytes 0-9/10", Some(10)),
            ("nonsense", None),
        ] {
            assert_eq!(code(part(said, length)), "wrong-range", "{said:?}");
        }
        assert_eq!(code(judged(5, 206, Some(5), &[])), "wrong-range");
    }

    #[test]
    fn the_whole_is_taken_for_a_part() {
        let head = judged(5, 200, Some(10), &[]).unwrap();
        assert_eq!((head.starts_at, head.total), (0, Some(10)));
    }

    #[test]
    fn a_file_that_ends_earlier_is_past_its_end() {
        let told = [(CONTENT_RANGE, "bytes */5")];
        for judged in [judged(5, 416, Some(0), &told), judged(5, 200, Some(5), &[])] {
            let location = "x".to_owned();
            let total = Some(5);
            assert_eq!(
                judged,
                Err(TransportError::PastEnd {
                    location,
                    asked: 5,
                    total
                })
            );
        }
    }

    #[test]
    fn each_status_has_its_answer() {
        for (status, expected) in [
            (200, "taken"),
            (204, "wrong-status"),
            (203, "wrong-status"),
            (304, "wrong-status"),
            (401, "forbidden"),
            (403, "forbidden"),
            (404, "absent"),
            (410, "absent"),
            (407, "proxy-login"),
            (416, "past-end"),
            (429, "wrong-status"),
            (500, "wrong-status"),
            (503, "wrong-status"),
            (511, "captive-portal"),
        ] {
            assert_eq!(code(judged(0, status, None, &[])), expected, "{status}");
        }
    }

    #[test]
    fn a_web_page_is_a_captive_portal_unless_it_says_not_found() {
        let html = [(CONTENT_TYPE, "Text/HTML; charset=utf-8")];
        let login = "https://login.hotel.example/?to=x";
        assert_eq!(code(judged(0, 200, None, &html)), "captive-portal");
        assert_eq!(
            code(judged_from(login, 0, 503, None, &html)),
            "captive-portal"
        );
        assert_eq!(code(judged_from(login, 0, 404, None, &html)), "absent");
        assert_eq!(code(judged(0, 404, None, &html)), "absent");
        assert_eq!(code(judged(0, 503, None, &html)), "wrong-status");
    }

    #[test]
    fn an_encoded_body_is_refused() {
        let gzip = [(CONTENT_ENCODING, "gzip")];
        assert_eq!(code(judged(0, 200, None, &gzip)), "encoded");
        let identity = [(CONTENT_ENCODING, "identity")];
        assert_eq!(code(judged(0, 200, None, &identity)), "taken");
    }

    #[test]
    fn an_address_is_shown_without_its_login() {
        let url = Url::parse("https://ada:secret@mirror.example/packs").unwrap();
        assert_eq!(without_login(&url).as_str(), "https://mirror.example/packs");
    }
}
