//! What a verb says: results on stdout, for people or as JSON; messages and progress on stderr.

mod bar;
mod table;

use std::io::{self, IsTerminal, Write};

use indicatif::DecimalBytes;
use serde::Serialize;

pub(crate) use bar::Bar;
pub(crate) use table::Table;

use crate::arguments::OutputArguments;
use crate::failure::{Exit, Failure};

/// Where a verb's words go, and how many of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    is_json: bool,
    loudness: Loudness,
    is_coloured: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Loudness {
    Quiet,
    Normal,
    Verbose,
}

impl Output {
    pub(crate) fn new(arguments: OutputArguments) -> Output {
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Output {
            is_json: arguments.json,
            loudness: match (arguments.quiet, arguments.verbose) {
                (true, _) => Loudness::Quiet,
                (_, true) => Loudness::Verbose,
                _ => Loudness::Normal,
            },
            is_coloured: !no_colour && io::stderr().is_terminal(),
        }
    }

    pub(crate) fn is_json(self) -> bool {
        self.is_json
    }

    /// Prints a verb's result: `value` as one JSON object, or `human` for people.
    pub(crate) fn result<T: Serialize>(
        self,
        value: &T,
        human: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), Failure> {
        written(write_result(
            &mut io::stdout().lock(),
            self.is_json,
            value,
            human,
        ))
    }

    /// Prints a text that is for programs, or for people who asked for just that, as it is.
    pub(crate) fn text(self, text: &str) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        written(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
    }

    /// Tells a person something on stderr.
    pub(crate) fn message(self, text: impl AsRef<str>) {
        self.say(Loudness::Normal, text.as_ref());
    }

    /// Tells a person who asked for more.
    pub(crate) fn detail(self, text: impl AsRef<str>) {
        self.say(Loudness::Verbose, text.as_ref());
    }

    /// Tells a person of something that should be looked at.
    pub(crate) fn warning(self, text: impl AsRef<str>) {
        let label = self.coloured("warning:", YELLOW);
        self.say(Loudness::Normal, &format!("{label} {}", text.as_ref()));
    }

    /// Returns a bar over `total` bytes of work called `what`, shown on a terminal alone.
    pub(crate) fn bar(self, what: &'static str, total: u64) -> Bar {
        Bar::new(what, total, self.loudness > Loudness::Quiet)
    }

    /// Tells why the verb failed, and returns the exit code that says so.
    pub(crate) fn fail(self, failure: &Failure) -> Exit {
        let told = if self.is_json {
            let document = ErrorDocument { error: failure };
            write_result(&mut io::stdout().lock(), true, &document, |_| Ok(()))
        } else {
            let mut err = io::stderr().lock();
            let (error, help) = (self.coloured("error:", RED), self.coloured("help:", CYAN));
            writeln!(err, "{error} {}", failure.message).and_then(|()| match &failure.remedy {
                Some(remedy) => writeln!(err, "{help} {remedy}"),
                None => Ok(()),
            })
        };
        // Nobody is left to tell when this cannot be written; the exit code still says it.
        let _ = told;
        failure.exit
    }

    fn say(self, loudness: Loudness, text: &str) {
        if self.loudness >= loudness {
            // A closed stderr must not stop the work that is told of.
            let _ = writeln!(io::stderr().lock(), "{text}");
        }
    }

    fn coloured(self, text: &str, colour: &str) -> String {
        if self.is_coloured {
            format!("{colour}{text}{PLAIN}")
        } else {
            text.to_owned()
        }
    }
}

/// Returns bytes as people read them: `1.50 MB`.
pub(crate) fn bytes(count: u64) -> String {
    DecimalBytes(count).to_string()
}

/// Returns a number of things with their name: `1 file`, `2 files`.
pub(crate) fn counted(count: u64, one: &str) -> String {
    if count == 1 {
        format!("1 {one}")
    } else {
        format!("{count} {one}s")
    }
}

/// Returns `part` of `whole` in percent.
pub(crate) fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "0 %".to_owned();
    }
    // Shown with one digit, so the rounding of a float cannot be seen.
    let percent = 100.0 * part as f64 / whole as f64;
    if part > 0 && percent < 0.1 {
        return "< 0.1 %".to_owned();
    }
    format!("{percent:.1} %")
}

#[derive(Serialize)]
struct ErrorDocument<'a> {
    error: &'a Failure,
}

#[derive(Serialize)]
struct Document<'a, T> {
    schema: u32,
    #[serde(flatten)]
    body: &'a T,
}

fn write_result<T: Serialize>(
    out: &mut dyn Write,
    is_json: bool,
    value: &T,
    human: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    if is_json {
        serde_json::to_writer(
            &mut *out,
            &Document {
                schema: SCHEMA,
                body: value,
            },
        )?;
        out.write_all(b"\n")?;
    } else {
        human(out)?;
    }
    out.flush()
}

fn written(result: io::Result<()>) -> Result<(), Failure> {
    match result {
        // Whoever read our output has read enough, as `satchel list | head` does.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::new(
            Exit::Other,
            "output",
            format!("cannot write to stdout: {error}"),
        )),
        Ok(()) => Ok(()),
    }
}

/// The version of every JSON document that `satchel` prints.
const SCHEMA: u32 = 1;
const RED: &str = "\x1b[1;31m";
const YELLOW: &str = "\x1b[1;33m";
const CYAN: &str = "\x1b[1;36m";
const PLAIN: &str = "\x1b[0m";

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Told {
        files: u64,
    }

    fn text(is_json: bool) -> String {
        let mut out = Vec::new();
        write_result(&mut out, is_json, &Told { files: 2 }, |out| {
            writeln!(out, "2 files")
        })
        .unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn results_are_for_people_or_one_json_object_with_a_schema() {
        assert_eq!(text(false), "2 files\n");
        assert_eq!(text(true), "{\"schema\":1,\"files\":2}\n");
    }

    #[test]
    fn errors_in_json_have_code_message_and_remedy() {
        let failure = Failure::new(Exit::Busy, "busy", "held").with_remedy("Wait.");
        let mut out = Vec::new();
        write_result(&mut out, true, &ErrorDocument { error: &failure }, |_| {
            Ok(())
        })
        .unwrap();
        let expected = r#"{"schema":1,"error":{"code":"busy","message":"held","remedy":"Wait."}}"#;
        assert_eq!(String::from_utf8(out).unwrap().trim_end(), expected);
    }

    #[test]
    fn reader_that_left_is_no_failure_and_a_full_disk_is() {
        assert_eq!(written(Err(io::ErrorKind::BrokenPipe.into())), Ok(()));
        let full = written(Err(io::ErrorKind::StorageFull.into()));
        assert_eq!(full.map_err(|failure| failure.code), Err("output"));
    }

    #[test]
    fn shares_and_counts_read_well() {
        assert_eq!(percent(1, 9_999), "< 0.1 %");
        assert_eq!(
            (percent(1, 3), percent(0, 0)),
            ("33.3 %".to_owned(), "0 %".to_owned())
        );
        assert_eq!(
            (counted(1, "file"), counted(0, "file")),
            ("1 file".to_owned(), "0 files".to_owned())
        );
    }
}
