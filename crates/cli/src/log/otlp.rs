//! Spans as an OpenTelemetry collector takes them: OTLP over HTTP, in JSON.
//!
//! One request at the end of the run, to a collector beside the program. Who wants it elsewhere, or
//! encrypted, has the collector send it on: that is what collectors are for.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

/// Keeps the spans of a run, and sends them at its end.
pub(super) struct Exporter {
    host: String,
    path: String,
    spans: Mutex<Vec<Value>>,
}

/// A span that has ended.
pub(super) struct Ended<'a> {
    pub(super) trace: &'a str,
    pub(super) id: u64,
    pub(super) parent: Option<u64>,
    pub(super) name: &'a str,
    pub(super) begun: SystemTime,
    pub(super) fields: &'a Map<String, Value>,
}

impl Exporter {
    /// Returns the exporter to an endpoint such as `http://localhost:4318`, as the standard variable
    /// `OTEL_EXPORTER_OTLP_ENDPOINT` gives it.
    pub(super) fn to(endpoint: &str) -> io::Result<Exporter> {
        let refused = || {
            let told = format!("expected http://HOST:PORT of a collector, found {endpoint}");
            io::Error::new(io::ErrorKind::InvalidInput, told)
        };
        let rest = endpoint.strip_prefix("http://").ok_or_else(refused)?;
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        if host.is_empty() || host.contains('@') {
            return Err(refused());
        }
        let host = match host.rsplit_once(':') {
            Some((_, port)) if port.parse::<u16>().is_ok() => host.to_owned(),
            _ => format!("{host}:4318"),
        };
        let path = format!("/{path}");
        Ok(Exporter {
            host,
            path: format!("{}/v1/traces", path.trim_end_matches('/')),
            spans: Mutex::new(Vec::new()),
        })
    }

    pub(super) fn add(&self, span: &Ended<'_>) {
        let nanos = |time: SystemTime| {
            let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
            since.as_nanos().to_string()
        };
        let attributes: Vec<Value> = span
            .fields
            .iter()
            .map(|(key, value)| {
                let value = match value {
                    Value::String(text) => json!({ "stringValue": text }),
                    Value::Number(number) => json!({ "intValue": number.to_string() }),
                    Value::Bool(is_so) => json!({ "boolValue": is_so }),
                    other => json!({ "stringValue": other.to_string() }),
                };
                json!({ "key": key, "value": value })
            })
            .collect();
        let mut told = json!({
            "traceId": span.trace,
            "spanId": format!("{:016x}", span.id),
            "name": span.name,
            "kind": 1,
            "startTimeUnixNano": nanos(span.begun),
            "endTimeUnixNano": nanos(SystemTime::now()),
            "attributes": attributes,
        });
        if let (Some(parent), Some(members)) = (span.parent, told.as_object_mut()) {
            members.insert("parentSpanId".to_owned(), format!("{parent:016x}").into());
        }
        let mut spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        if spans.len() < MAX_SPANS {
            spans.push(told);
        }
    }

    /// Sends what there is.
    pub(super) fn flush(&self) -> io::Result<()> {
        let spans = std::mem::take(&mut *self.spans.lock().unwrap_or_else(PoisonError::into_inner));
        if spans.is_empty() {
            return Ok(());
        }
        let text = |value: &str| json!({ "stringValue": value });
        let body = json!({ "resourceSpans": [{
            "resource": { "attributes": [
                { "key": "service.name", "value": text("satchel") },
                { "key": "service.version", "value": text(env!("CARGO_PKG_VERSION")) },
            ]},
            "scopeSpans": [{ "scope": { "name": "satchel" }, "spans": spans }],
        }]});
        self.post(body.to_string().as_bytes())
    }

    fn post(&self, body: &[u8]) -> io::Result<()> {
        let mut line = TcpStream::connect(&self.host)?;
        line.set_read_timeout(Some(PATIENCE))?;
        line.set_write_timeout(Some(PATIENCE))?;
        write!(
            line,
            "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n",
            self.path,
            self.host,
            body.len()
        )?;
        line.write_all(body)?;
        let mut answer = Vec::new();
        line.take(MAX_ANSWER_BYTES).read_to_end(&mut answer)?;
        let answer = String::from_utf8_lossy(&answer);
        let status = answer.split(' ').nth(1).unwrap_or_default();
        match status.starts_with('2') {
            true => Ok(()),
            false => Err(io::Error::other(format!(
                "the collector answered {status:?}"
            ))),
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(5);
const MAX_ANSWER_BYTES: u64 = 64 << 10;
/// A run that goes on for ever does not fill the memory.
const MAX_SPANS: usize = 10_000;

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn collector_gets_every_span_of_a_run_in_one_request() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let collector = std::thread::spawn(move || {
            let (line, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(line);
            let mut head = String::new();
            let mut length = 0;
            loop {
                let mut text = String::new();
                reader.read_line(&mut text).unwrap();
                if let Some(value) = text.strip_prefix("Content-Length: ") {
                    length = value.trim().parse().unwrap();
                }
                if text == "\r\n" {
                    break;
                }
                head.push_str(&text);
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            reader
                .get_mut()
                .write_all(b"HTTP/1.1 200 OK\r\n\r\n{}")
                .unwrap();
            (head, serde_json::from_slice::<Value>(&body).unwrap())
        });
        let exporter = Exporter::to(&format!("http://{address}")).unwrap();
        let fields = Map::from_iter([("pack".to_owned(), "acme/biology".into())]);
        for (id, parent) in [(2, Some(1)), (1, None)] {
            exporter.add(&Ended {
                trace: "00112233445566778899aabbccddeeff",
                id,
                parent,
                name: "publish",
                begun: UNIX_EPOCH + Duration::from_secs(1),
                fields: &fields,
            });
        }
        exporter.flush().unwrap();
        let (head, body) = collector.join().unwrap();
        assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
        let spans = &body["resourceSpans"][0]["scopeSpans"][0]["spans"];
        assert_eq!(spans[0]["parentSpanId"], spans[1]["spanId"]);
        assert_eq!(spans[1]["startTimeUnixNano"], "1000000000");
        assert_eq!(
            spans[1]["attributes"][0]["value"]["stringValue"],
            "acme/biology"
        );
        exporter.flush().unwrap();
    }

    #[test]
    fn endpoints_are_plain_and_beside_the_program() {
        for (endpoint, host, path) in [
            ("http://localhost", "localhost:4318", "/v1/traces"),
            ("http://10.0.0.1:80/otel/", "10.0.0.1:80", "/otel/v1/traces"),
        ] {
            let exporter = Exporter::to(endpoint).unwrap();
            assert_eq!((&*exporter.host, &*exporter.path), (host, path));
        }
        for endpoint in ["", "https://localhost", "http://", "http://a@b"] {
            assert!(Exporter::to(endpoint).is_err(), "{endpoint}");
        }
    }
}
