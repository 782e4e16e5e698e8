use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read, Seek, SeekFrom, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use diff_core::ContentPath;
use socket2::SockRef;

use super::script::Misbehaviour;
use super::{Entry, Request, Sent, Shared};

/// Answers the requests of one connection until either side ends it.
pub(super) fn converse(stream: &TcpStream, shared: &Shared) {
    let mut lines = BufReader::new(stream);
    // A client that leaves in the middle of anything is none of the server's errors.
    while let Ok(Some(asked)) = read_request(&mut lines) {
        match answer(stream, shared, asked) {
            Ok(Next::Listen) => {}
            // The connection is reset as its last handle closes, unless it was shut down before.
            Ok(Next::Reset) => return,
            Ok(Next::Close) | Err(_) => break,
        }
    }
    let _ = stream.shutdown(Shutdown::Both);
}

/// What becomes of the connection.
enum Next {
    Listen,
    Close,
    Reset,
}

struct Asked {
    method: String,
    location: String,
    headers: BTreeMap<String, String>,
    range: Option<(u64, Option<u64>)>,
}

fn read_request(lines: &mut impl BufRead) -> io::Result<Option<Asked>> {
    let mut lines = lines.take(MAX_HEAD_BYTES).lines();
    let Some(first) = lines.next().transpose()? else {
        return Ok(None);
    };
    let mut words = first.split(' ');
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        return Ok(None);
    };
    let mut headers = BTreeMap::new();
    for line in lines {
        let line = line?;
        match line.split_once(':') {
            Some((name, value)) => {
                headers.insert(name.trim().to_ascii_lowercase(), value.trim().to_owned())
            }
            None => break,
        };
    }
    let path = target.split('?').next().unwrap_or_default();
    // A proxy is asked for the whole address.
    let path = match path.split_once("://") {
        Some((_, behind)) => behind.split_once('/').map_or("", |(_, path)| path),
        None => path,
    };
    let range = headers.get("range").and_then(|text| range(text));
    Ok(Some(Asked {
        method: method.to_owned(),
        location: percent_decoded(path.trim_start_matches('/')),
        headers,
        range,
    }))
}

/// Understands `bytes=5-` and `bytes=5-9`, as static servers do; anything else is no range.
fn range(text: &str) -> Option<(u64, Option<u64>)> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let last = match last {
        "" => None,
        last => Some(last.parse().ok()?),
    };
    Some((first.parse().ok()?, last))
}

fn percent_decoded(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        let digits = behind.get(..2).and_then(|two| str::from_utf8(two).ok());
        let byte = digits.and_then(|two| u8::from_str_radix(two, 16).ok());
        match byte.filter(|_| first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = behind.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(first);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A file, or what is sent in its place.
struct Content {
    bytes: Box<dyn ReadSeek>,
    length: u64,
    kind: &'static str,
}

trait ReadSeek: Read + Seek {}
impl<T: Read + Seek> ReadSeek for T {}

impl Content {
    fn of(bytes: Vec<u8>, kind: &'static str) -> Content {
        let length = bytes.len() as u64;
        let bytes = Box::new(Cursor::new(bytes));
        Content {
            bytes,
            length,
            kind,
        }
    }

    fn open(shared: &Shared, location: &str) -> Option<Content> {
        if location == LOGIN {
            return Some(Content::of(PAGE.into(), "text/html; charset=utf-8"));
        }
        let path = ContentPath::parse(location).ok()?;
        let file = File::open(path.under(&shared.folder)).ok()?;
        let metadata = file.metadata().ok().filter(|found| found.is_file())?;
        let kind = match path.extension() {
            "json" => "application/json",
            _ => "application/octet-stream",
        };
        Some(Content {
            bytes: Box::new(file),
            length: metadata.len(),
            kind,
        })
    }
}

fn answer(stream: &TcpStream, shared: &Shared, asked: Asked) -> io::Result<Next> {
    let misbehaviour = shared.state().script.take(&asked.location);
    let sent = Sent::default();
    let mut exchange = Exchange {
        stream,
        shared,
        location: asked.location.clone(),
        sent: sent.clone(),
        without_body: asked.method == "HEAD",
    };
    let request = Request {
        method: asked.method,
        location: asked.location,
        from: asked.range.map(|(first, _)| first),
        headers: asked.headers,
        status: None,
        sent: 0,
    };
    let log = |status| {
        let mut state = shared.state();
        state.traffic.requests += 1;
        let request = Request { status, ..request };
        state.log.push(Entry { request, sent });
    };
    match misbehaviour {
        Some(Misbehaviour::HangUp) => {
            log(None);
            return Ok(Next::Close);
        }
        Some(Misbehaviour::Garble) => {
            log(None);
            exchange.send_head("220 mail.example ESMTP\r\n")?;
            return Ok(Next::Close);
        }
        Some(Misbehaviour::Silence) => {
            log(None);
            shared.stall(stream)?;
            return Ok(Next::Close);
        }
        _ => {}
    }
    let planned = plan(shared, &exchange.location, asked.range, misbehaviour);
    log(Some(planned.status));
    exchange.send(planned)
}

/// An answer before it is sent.
struct Planned {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Content,
    /// The bytes of the body that are announced.
    from: u64,
    length: u64,
    misbehaviour: Option<Misbehaviour>,
}

fn plan(
    shared: &Shared,
    location: &str,
    range: Option<(u64, Option<u64>)>,
    misbehaviour: Option<Misbehaviour>,
) -> Planned {
    let plain = |status, body: Content, headers| Planned {
        status,
        headers,
        from: 0,
        length: body.length,
        body,
        misbehaviour: None,
    };
    let page = || Content::of(PAGE.into(), "text/html; charset=utf-8");
    let content = match &misbehaviour {
        Some(Misbehaviour::Status(status)) => {
            return plain(*status, Content::of(Vec::new(), "text/plain"), Vec::new());
        }
        Some(Misbehaviour::Redirect(to)) => {
            return plain(302, page(), vec![("location", to.clone())]);
        }
        Some(Misbehaviour::LoginRedirect) => {
            let to = format!("http://localhost:{}/{LOGIN}", shared.port);
            return plain(302, page(), vec![("location", to)]);
        }
        Some(Misbehaviour::LoginPage) => return plain(200, page(), Vec::new()),
        Some(Misbehaviour::Instead(bytes)) => {
            Some(Content::of(bytes.clone(), "application/octet-stream"))
        }
        _ => Content::open(shared, location),
    };
    // As real servers do, the answer to a missing file is a page for people.
    let Some(body) = content else {
        return plain(404, page(), Vec::new());
    };
    let range = range.filter(|_| misbehaviour != Some(Misbehaviour::IgnoreRange));
    let (from, behind) = match range {
        Some((first, last)) => {
            let behind = last.map_or(body.length, |last| last.saturating_add(1));
            (first, behind.min(body.length))
        }
        None => (0, body.length),
    };
    if range.is_some() && from >= behind {
        let said = format!("bytes */{}", body.length);
        let nothing = Content::of(Vec::new(), "text/plain");
        return plain(416, nothing, vec![("content-range", said)]);
    }
    let mut headers = Vec::new();
    let mut status = 200;
    if let Some(Misbehaviour::ContentRange(said)) = &misbehaviour {
        status = 206;
        headers.push(("content-range", said.clone()));
    } else if range.is_some() {
        status = 206;
        let said = format!("bytes {from}-{}/{}", behind - 1, body.length);
        headers.push(("content-range", said));
    }
    if misbehaviour == Some(Misbehaviour::Gzip) {
        headers.push(("content-encoding", "gzip".to_owned()));
    }
    Planned {
        status,
        headers,
        body,
        from,
        length: behind - from,
        misbehaviour,
    }
}

/// One answer on its way.
struct Exchange<'a> {
    stream: &'a TcpStream,
    shared: &'a Shared,
    location: String,
    sent: Sent,
    without_body: bool,
}

impl Exchange<'_> {
    fn send(&mut self, planned: Planned) -> io::Result<Next> {
        let Planned {
            status,
            headers,
            mut body,
            from,
            length,
            misbehaviour,
        } = planned;
        let in_chunks = matches!(
            misbehaviour,
            Some(Misbehaviour::Chunked | Misbehaviour::Endless)
        );
        let mut head = format!("HTTP/1.1 {status} Said\r\naccept-ranges: bytes\r\n");
        head += &format!("content-type: {}\r\n", body.kind);
        head += &match in_chunks {
            true => "transfer-encoding: chunked\r\n".to_owned(),
            false => format!("content-length: {length}\r\n"),
        };
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += "\r\n";
        self.send_head(&head)?;
        if self.without_body {
            return Ok(Next::Listen);
        }
        body.bytes.seek(SeekFrom::Start(from))?;
        let mut bytes = body.bytes;
        let next = match misbehaviour {
            Some(Misbehaviour::Truncate { at }) => {
                self.pass(&mut bytes, length.min(at), false)?;
                Next::Close
            }
            Some(Misbehaviour::Reset { at }) => {
                self.pass(&mut bytes, length.min(at), false)?;
                SockRef::from(self.stream).set_linger(Some(Duration::ZERO))?;
                Next::Reset
            }
            Some(Misbehaviour::Stall { at }) => {
                self.pass(&mut bytes, length.min(at), false)?;
                self.shared.stall(self.stream)?;
                self.pass(&mut bytes, length.saturating_sub(at), false)?;
                Next::Close
            }
            Some(Misbehaviour::Flip { byte }) => {
                let before = byte.checked_sub(from).filter(|before| *before < length);
                match before {
                    Some(before) => {
                        self.pass(&mut bytes, before, false)?;
                        let mut flipped = [0];
                        bytes.read_exact(&mut flipped)?;
                        let flipped = flipped.map(|byte| byte ^ 1);
                        self.pass(&mut flipped.as_slice(), 1, false)?;
                        self.pass(&mut bytes, length - before - 1, false)?;
                    }
                    None => self.pass(&mut bytes, length, false)?,
                }
                Next::Listen
            }
            Some(Misbehaviour::Endless) => {
                self.pass(&mut io::repeat(0), u64::MAX, true)?;
                Next::Close
            }
            _ => {
                self.pass(&mut bytes, length, in_chunks)?;
                if in_chunks {
                    self.stream.write_all(b"0\r\n\r\n")?;
                }
                Next::Listen
            }
        };
        Ok(next)
    }

    fn send_head(&mut self, head: &str) -> io::Result<()> {
        self.shared.state().traffic.heads += head.len() as u64;
        self.stream.write_all(head.as_bytes())
    }

    /// Sends `length` bytes, in pieces that end where a hook has to run.
    fn pass(&mut self, bytes: &mut dyn Read, length: u64, in_chunks: bool) -> io::Result<()> {
        let mut buffer = [0; PIECE_BYTES];
        let mut left = length;
        while left > 0 {
            let until_due = self.shared.state().script.until_due(&self.location);
            let wanted = left.min(until_due.max(1)).min(PIECE_BYTES as u64);
            let wanted = usize::try_from(wanted).unwrap_or(PIECE_BYTES);
            let piece = buffer.get_mut(..wanted).unwrap_or_default();
            bytes.read_exact(piece)?;
            self.shared.count(&self.sent, wanted as u64);
            if in_chunks {
                self.stream
                    .write_all(format!("{wanted:x}\r\n").as_bytes())?;
            }
            self.stream.write_all(piece)?;
            if in_chunks {
                self.stream.write_all(b"\r\n")?;
            }
            left -= wanted as u64;
            self.shared.call_due(&self.location, wanted as u64);
        }
        Ok(())
    }
}

const LOGIN: &str = "login";
const PAGE: &str = "<!DOCTYPE html><html><body><form>Room number: <input></form></body></html>";
const MAX_HEAD_BYTES: u64 = 64 << 10;
const PIECE_BYTES: usize = 16 << 10;
