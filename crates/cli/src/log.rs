//! What happens, as lines of JSON for machines: spans and events of publisher and client.
//!
//! The libraries speak to whatever subscriber their host has; this is the program's. One line an event,
//! and one when a span ends, in the schema of the page on logs.

#[cfg(feature = "otlp")]
mod otlp;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use release_format::UtcTime;
use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::failure::Failure;

/// Writes every event from now on to a file, or to stderr for `-`; spans go to a collector as well where
/// one is named and the program was built for it. Without either, nobody listens.
pub(crate) fn begin(place: Option<&Path>) -> Result<Log, Failure> {
    let out: Option<Box<dyn Write + Send>> = match place {
        None => None,
        Some(place) if place == Path::new("-") => Some(Box::new(io::stderr())),
        Some(place) => {
            let file = File::options().create(true).append(true).open(place);
            Some(Box::new(
                file.map_err(|error| Failure::io("write", place, &error))?,
            ))
        }
    };
    let log = JsonLog::new(out);
    #[cfg(feature = "otlp")]
    let log = log.exporting()?;
    let log = Arc::new(log);
    if log.is_wanted() {
        // Only the first one counts; nobody else in this program sets one.
        let _ = tracing::subscriber::set_global_default(Arc::clone(&log));
    }
    Ok(Log(log))
}

/// What listens; what it has kept is sent by [`Log::end`].
pub(crate) struct Log(Arc<JsonLog>);

impl Log {
    /// Sends what was kept. A collector that is away stops nothing, and is told of.
    pub(crate) fn end(&self) -> io::Result<()> {
        self.0.flush()
    }
}

/// A subscriber that writes lines of JSON.
struct JsonLog {
    out: Option<Mutex<Box<dyn Write + Send>>>,
    #[cfg(feature = "otlp")]
    exporter: Option<otlp::Exporter>,
    trace: String,
    next: AtomicU64,
    spans: Mutex<BTreeMap<u64, Span>>,
}

struct Span {
    name: &'static str,
    target: &'static str,
    level: Level,
    parent: Option<u64>,
    fields: Map<String, Value>,
    begun: Instant,
    #[cfg(feature = "otlp")]
    since: SystemTime,
    handles: usize,
}

thread_local! {
    /// The spans that are entered here, the innermost last.
    static ENTERED: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

impl JsonLog {
    fn new(out: Option<Box<dyn Write + Send>>) -> JsonLog {
        // Apart from every other run: by when it was, and by what the system calls it.
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let nanos = now.map_or(0, |now| now.as_nanos());
        let seed = format!("{nanos} {}", std::process::id());
        let trace = diff_core::Digest::of(seed.as_bytes()).to_string();
        JsonLog {
            out: out.map(Mutex::new),
            #[cfg(feature = "otlp")]
            exporter: None,
            trace: trace.chars().take(32).collect(),
            next: AtomicU64::new(1),
            spans: Mutex::new(BTreeMap::new()),
        }
    }

    #[cfg(feature = "otlp")]
    fn exporting(self) -> Result<JsonLog, Failure> {
        let endpoint = std::env::var("OTEL_EXPORTER_OTLP_ENDPOINT").unwrap_or_default();
        let exporter = match endpoint.as_str() {
            "" => None,
            endpoint => Some(otlp::Exporter::to(endpoint).map_err(|error| {
                Failure::new(crate::failure::Exit::Usage, "otlp", error.to_string())
            })?),
        };
        Ok(JsonLog { exporter, ..self })
    }

    fn is_wanted(&self) -> bool {
        #[cfg(feature = "otlp")]
        if self.exporter.is_some() {
            return true;
        }
        self.out.is_some()
    }

    fn flush(&self) -> io::Result<()> {
        #[cfg(feature = "otlp")]
        if let Some(exporter) = &self.exporter {
            return exporter.flush();
        }
        Ok(())
    }

    fn current() -> Option<u64> {
        ENTERED.with_borrow(|entered| entered.last().copied())
    }

    fn write(
        &self,
        (level, service): (&Level, &str),
        message: &str,
        span: Option<u64>,
        fields: Map<String, Value>,
    ) {
        let Some(out) = &self.out else { return };
        let line = json!({
            "schema": 1,
            "timestamp": timestamp(),
            "service": service.split("::").next().unwrap_or(service),
            "level": level.as_str().to_ascii_lowercase(),
            "message": message,
            "trace_id": self.trace,
            "span_id": span.map(|span| format!("{span:016x}")),
            "fields": fields,
        });
        let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
        // A log that cannot be written stops nothing.
        let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    }

    fn with_spans<T>(&self, work: impl FnOnce(&mut BTreeMap<u64, Span>) -> T) -> T {
        work(&mut self.spans.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Subscriber for JsonLog {
    /// Only what is ours: the libraries below have logs of their own, which nobody documents here.
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let ours = ["publisher", "updater_client", "satchel"];
        let service = metadata.target().split("::").next().unwrap_or_default();
        ours.contains(&service) && *metadata.level() <= Level::DEBUG
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let named = attributes.parent().map(Id::into_u64);
        let parent = named.or_else(|| JsonLog::current().filter(|_| !attributes.is_root()));
        let metadata = attributes.metadata();
        let span = Span {
            name: metadata.name(),
            target: metadata.target(),
            level: *metadata.level(),
            parent,
            fields: fields.told,
            begun: Instant::now(),
            #[cfg(feature = "otlp")]
            since: SystemTime::now(),
            handles: 1,
        };
        self.with_spans(|spans| spans.insert(id, span));
        Id::from_u64(id)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        let mut fields = Fields::default();
        values.record(&mut fields);
        self.with_spans(|spans| {
            if let Some(span) = spans.get_mut(&span.into_u64()) {
                span.fields.extend(fields.told);
            }
        });
    }

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let metadata = event.metadata();
        let span = JsonLog::current();
        let origin = (metadata.level(), metadata.target());
        self.write(origin, &fields.message, span, fields.told);
    }

    fn enter(&self, span: &Id) {
        ENTERED.with_borrow_mut(|entered| entered.push(span.into_u64()));
    }

    fn exit(&self, span: &Id) {
        ENTERED.with_borrow_mut(|entered| {
            if let Some(at) = entered.iter().rposition(|id| *id == span.into_u64()) {
                entered.remove(at);
            }
        });
    }

    fn clone_span(&self, id: &Id) -> Id {
        self.with_spans(|spans| {
            if let Some(span) = spans.get_mut(&id.into_u64()) {
                span.handles += 1;
            }
        });
        id.clone()
    }

    fn try_close(&self, id: Id) -> bool {
        let id = id.into_u64();
        let closed = self.with_spans(|spans| {
            let span = spans.get_mut(&id)?;
            span.handles = span.handles.saturating_sub(1);
            if span.handles > 0 {
                return None;
            }
            spans.remove(&id)
        });
        let Some(span) = closed else { return false };
        #[cfg(feature = "otlp")]
        if let Some(exporter) = &self.exporter {
            exporter.add(&otlp::Ended {
                trace: &self.trace,
                id,
                parent: span.parent,
                name: span.name,
                begun: span.since,
                fields: &span.fields,
            });
        }
        let mut fields = span.fields;
        let took = u64::try_from(span.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        fields.insert("took_ms".to_owned(), took.into());
        let parent = span.parent.map(|parent| format!("{parent:016x}"));
        fields.insert("parent_span_id".to_owned(), parent.into());
        self.write((&span.level, span.target), span.name, Some(id), fields);
        true
    }
}

/// The fields of a span or an event as JSON.
#[derive(Default)]
struct Fields {
    message: String,
    told: Map<String, Value>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        self.told.insert(field.name().to_owned(), value);
    }
}

impl Visit for Fields {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let told = format!("{value:?}");
        if field.name() == "message" {
            self.message = told;
        } else {
            self.put(field, told.into());
        }
    }
}

/// Returns the present in UTC, to the millisecond.
fn timestamp() -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let whole = UtcTime::from_seconds(seconds).to_string();
    let whole = whole.trim_end_matches('Z');
    format!("{whole}.{:03}Z", now.subsec_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_line_has_the_documented_keys_and_spans_are_nested() {
        let kept = Kept::default();
        let log = JsonLog::new(Some(Box::new(kept.clone())));
        tracing::subscriber::with_default(log, || {
            let outer = tracing::info_span!("outer", pack = "acme/biology").entered();
            tracing::info_span!("inner").in_scope(|| tracing::warn!(bytes = 7_u64, "slow"));
            tracing::info!(target: "hyper::client", "not ours");
            tracing::trace!("too much");
            drop(outer);
        });
        let bytes = kept.0.lock().unwrap().clone();
        let lines: Vec<Value> = String::from_utf8(bytes)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let told: Vec<&str> = lines
            .iter()
            .map(|l| l["message"].as_str().unwrap())
            .collect();
        assert_eq!(told, ["slow", "inner", "outer"]);
        let page = include_str!("../../../docs/src/operations/logs.md");
        for line in &lines {
            for key in line.as_object().unwrap().keys() {
                assert!(
                    page.contains(&format!("| `{key}` |")),
                    "{key} is not documented"
                );
            }
            assert_eq!(line["service"], "satchel");
            assert_eq!(line["trace_id"].as_str().unwrap().len(), 32);
        }
        assert_eq!(lines[0]["level"], "warn");
        assert_eq!(lines[0]["fields"]["bytes"], 7);
        assert_eq!(lines[0]["span_id"], lines[1]["span_id"]);
        assert_eq!(lines[1]["fields"]["parent_span_id"], lines[2]["span_id"]);
        assert_eq!(lines[2]["fields"]["pack"], "acme/biology");
    }
}
