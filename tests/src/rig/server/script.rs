/// How an answer goes wrong. Positions named `at` count the bytes of the body of that one answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Misbehaviour {
    /// Answers with this status and an empty body.
    Status(u16),
    /// Closes the connection without an answer.
    HangUp,
    /// Answers with bytes that are no HTTP.
    Garble,
    /// Sends the whole file where a part was asked for.
    IgnoreRange,
    /// Sends the part asked for, or the whole, as the part that this text names.
    ContentRange(String),
    /// Announces the whole body and closes the connection before byte `at`.
    Truncate {
        /// Bytes sent.
        at: u64,
    },
    /// Announces the whole body and resets the connection before byte `at`, which may also destroy
    /// bytes that are still on their way.
    Reset {
        /// Bytes sent.
        at: u64,
    },
    /// Receives the request and says nothing until released.
    Silence,
    /// Announces the whole body and stalls before byte `at` until released; then sends the rest.
    Stall {
        /// Bytes sent.
        at: u64,
    },
    /// Sends zeros without an end.
    Endless,
    /// Sends the body in chunks, and does not say how long it is.
    Chunked,
    /// Changes one bit of the file's byte `byte`.
    Flip {
        /// Which byte of the whole file.
        byte: u64,
    },
    /// Sends these bytes as if they were the file.
    Instead(Vec<u8>),
    /// Claims that the body is compressed with gzip.
    Gzip,
    /// Sends on to this address, or to this location when it begins with a slash.
    Redirect(String),
    /// Sends a web page with a login in place of the file.
    LoginPage,
    /// Sends on to a web page with a login on another host.
    LoginRedirect,
}

/// What a server is told to do.
#[derive(Default)]
pub(super) struct Script {
    pub(super) rules: Vec<Rule>,
    pub(super) moments: Vec<Moment>,
}

pub(super) struct Rule {
    pub(super) pattern: String,
    pub(super) times: u64,
    pub(super) misbehaviour: Misbehaviour,
}

/// A hook that waits for so many more bytes.
pub(super) struct Moment {
    pub(super) pattern: String,
    pub(super) left: u64,
    pub(super) hook: Box<dyn FnOnce() + Send>,
}

impl Script {
    /// Returns how the next answer for `location` goes wrong, and uses the rule up by one.
    pub(super) fn take(&mut self, location: &str) -> Option<Misbehaviour> {
        let is_due = |rule: &&mut Rule| rule.times > 0 && matches(&rule.pattern, location);
        let rule = self.rules.iter_mut().find(is_due)?;
        rule.times -= 1;
        Some(rule.misbehaviour.clone())
    }

    /// Returns how many bytes may be sent for `location` before a hook has to run.
    pub(super) fn until_due(&self, location: &str) -> u64 {
        let waiting = self.moments.iter();
        let waiting = waiting.filter(|moment| matches(&moment.pattern, location));
        waiting.map(|moment| moment.left).min().unwrap_or(u64::MAX)
    }

    /// Counts `bytes` sent for `location`, and returns the hooks whose moment that was.
    pub(super) fn take_due(&mut self, location: &str, bytes: u64) -> Vec<Box<dyn FnOnce() + Send>> {
        for moment in &mut self.moments {
            if matches(&moment.pattern, location) {
                moment.left = moment.left.saturating_sub(bytes);
            }
        }
        let (due, waiting) = std::mem::take(&mut self.moments)
            .into_iter()
            .partition(|moment: &Moment| moment.left == 0);
        self.moments = waiting;
        let due: Vec<Moment> = due;
        due.into_iter().map(|moment| moment.hook).collect()
    }
}

/// Whether `text` is `pattern`, in which each `*` stands for any characters.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((before, after)) => text.strip_prefix(before).is_some_and(|rest| {
            let cuts = rest.char_indices().map(|(cut, _)| cut).chain([rest.len()]);
            cuts.filter_map(|cut| rest.get(cut..))
                .any(|rest| matches(after, rest))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_locations() {
        for (pattern, text, expected) in [
            ("*", "metadata/timestamp.json", true),
            ("content/*", "content/ab/abcd", true),
            ("content/*", "metadata/1.root.json", false),
            ("metadata/*.root.json", "metadata/12.root.json", true),
            ("metadata/*.root.json", "metadata/12.root.jsonx", false),
            (
                "*/acme/*/rollout/*",
                "targets/acme/x/rollout/1.stable",
                true,
            ),
            ("timestamp.json", "metadata/timestamp.json", false),
            ("", "", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern:?} {text:?}");
        }
    }

    #[test]
    fn the_first_rule_counts_until_it_is_used_up() {
        let mut script = Script::default();
        for (times, status) in [(1, 500), (u64::MAX, 404)] {
            script.rules.push(Rule {
                pattern: "x".to_owned(),
                times,
                misbehaviour: Misbehaviour::Status(status),
            });
        }
        let taken: Vec<_> = (0..3).map(|_| script.take("x")).collect();
        let status = |status| Some(Misbehaviour::Status(status));
        assert_eq!(taken, [status(500), status(404), status(404)]);
        assert_eq!(script.take("y"), None);
    }

    #[test]
    fn a_moment_comes_once_with_the_byte_that_it_waits_for() {
        let mut script = Script::default();
        script.moments.push(Moment {
            pattern: "x".to_owned(),
            left: 5,
            hook: Box::new(|| {}),
        });
        assert_eq!(script.until_due("y"), u64::MAX);
        assert!(script.take_due("x", 3).is_empty());
        assert_eq!(script.until_due("x"), 2);
        assert_eq!(script.take_due("x", 2).len(), 1);
        assert!(script.take_due("x", 2).is_empty());
    }
}
