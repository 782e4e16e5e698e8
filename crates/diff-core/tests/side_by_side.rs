//! Streams of one group are closed by several threads, and nobody can tell from what comes of it.

#![allow(clippy::unwrap_used)]

mod support;

use std::sync::atomic::{AtomicU64, Ordering};

use diff_core::{CancelToken, DeltaError, Progress};

use support::checks::text;
use support::containers::deflate;
use support::forge::varint;
use support::forged::{Forged, ROOM, TEXT};
use support::noise;
use support::script::{HAS_OLD, NESTED, Script, ZLIB_6};

/// What opened content is to become.
#[derive(Default)]
struct Made {
    script: Script,
    opened: Vec<u8>,
    file: Vec<u8>,
    longest: usize,
}

impl Made {
    fn copy(mut self, bytes: &[u8]) -> Made {
        self.script = self.script.copy(bytes.len() as u64);
        self.opened.extend(bytes);
        self.file.extend(bytes);
        self
    }

    fn old(mut self) -> Made {
        // The first one counts from the first old file, the others from the one before.
        let index = if self.file.is_empty() { 4 } else { 0 };
        self.script = self.script.old(index, 0, TEXT.len() as u64);
        self.file.extend(TEXT);
        self
    }

    fn stream(mut self, plain: &[u8], level: u8) -> Made {
        self.script = self.script.stream(plain.len() as u64, 0, &[level]);
        self.opened.extend(plain);
        self.file.extend(deflate(plain, level));
        self.longest = self.longest.max(plain.len());
        self
    }

    fn nested(mut self, inner: Made) -> Made {
        let script = self.script.stream(inner.file.len() as u64, NESTED, ZLIB_6);
        self.script = script.raw(&inner.script.bytes()).end();
        self.opened.extend(inner.opened);
        self.longest = self.longest.max(inner.file.len() + inner.longest);
        self.file.extend(deflate(&inner.file, 6));
        self
    }

    fn content(&self) -> Vec<u8> {
        self.script.with(&self.opened)
    }

    /// Returns what makes the file on so many threads, with no more memory for closing than it takes.
    fn forged(&self, threads: usize) -> Forged {
        let script_bytes = self.content().len() - self.opened.len();
        Forged {
            threads,
            memory: (script_bytes + self.longest) as u64,
            ..Forged::file(self.file.len())
        }
    }
}

/// Returns a file of so many streams of all lengths, with bytes around them, some of them nested.
fn many(count: u64) -> Made {
    (0..count).fold(Made::default().old(), |made, seed| {
        let page = text(seed, 1 + usize::try_from(seed * seed % 900).unwrap());
        let level = [1, 6, 9][usize::try_from(seed).unwrap() % 3];
        let made = made.stream(&page, level);
        match seed % 7 {
            0 => made.copy(&noise(1 + page.len() / 3, seed)),
            1 => made.old(),
            2 => made.nested(
                Made::default()
                    .copy(&page)
                    .stream(&noise(3000, seed), 6)
                    .copy(b"between")
                    .stream(&page, 9)
                    .nested(Made::default().stream(b"in the midst", 6)),
            ),
            _ => made,
        }
    })
}

#[test]
fn what_is_made_is_the_same_whatever_the_number_of_threads() {
    let made = many(80);
    for threads in [1, 2, 3, 8] {
        let found = made.forged(threads).make(&made.content()).unwrap();
        assert!(found == made.file, "{threads} threads make another file");
    }
}

#[test]
fn a_device_without_memory_to_spare_makes_the_same() {
    let made = many(40);
    let need = {
        let forged = made.forged(1);
        made.content().len() as u64 + forged.memory
    };
    // From not even what the group needs up to as much as all streams at once.
    let mut least = None;
    for spare in (0..24).map(|step| step * 100_000) {
        let mut forged = made.forged(4);
        forged.limits.max_memory_bytes = need / 2 + spare;
        match forged.make(&made.content()) {
            Ok(found) => {
                assert!(found == made.file, "{spare} bytes make another file");
                least.get_or_insert(spare);
            }
            Err(DeltaError::Limit { what, .. }) => {
                assert_eq!(what, "memory of a group");
                assert_eq!(least, None);
            }
            Err(error) => unreachable!("{error}"),
        }
    }
    assert!(least.is_some());
}

#[test]
fn streams_that_follow_old_ones_are_closed_beside_each_other() {
    // The file's first stream is followed again and again.
    let mut steps = vec![3, 5 << 2];
    varint(&mut steps, (TEXT.len() as u64) << 2 | 2);
    steps.extend([0, 6 << 2]);
    let pages: Vec<_> = (0..30).map(|seed| text(seed, 200)).collect();
    let script = pages
        .iter()
        .enumerate()
        .fold(Script::default(), |script, (number, page)| {
            let script = script.stream(page.len() as u64, HAS_OLD, ZLIB_6);
            // Folded: 0 for the first, one back from the next for others.
            script.raw(&[if number == 0 { 0 } else { 1 }])
        });
    let file = pages
        .iter()
        .flat_map(|page| deflate(page, 6))
        .collect::<Vec<_>>();
    for threads in [1, 4] {
        let forged = Forged {
            threads,
            ..Forged::file(file.len()).against(0, &steps)
        };
        let found = forged.make(&script.with(&pages.concat())).unwrap();
        assert!(found == file, "{threads} threads make another file");
    }
}

#[test]
fn the_first_fault_is_told_whatever_the_number_of_threads() {
    // Settings that do not exist, an encoder that does not, and then steps that do not.
    let faults: [(u64, &[u8]); 2] = [(40, &[0x0f]), (47, &[0x60])];
    let page = text(3, 400);
    let broken = |from: usize| {
        (0..60).fold(Script::default(), |script, number| {
            let fault = faults[from.min(2)..].iter().find(|(at, _)| *at == number);
            let recipe = fault.map_or(ZLIB_6, |(_, recipe)| recipe);
            script.stream(page.len() as u64, 0, recipe)
        })
    };
    let told = |threads: usize, content: &[u8]| {
        let forged = Forged {
            threads,
            ..Forged::file(60 * deflate(&page, 6).len() + 1)
        };
        forged.refusal(content)
    };
    for (from, place, problem) in [
        (0, "recipe", "settings that do not exist"),
        (1, "script", "of which the plan does not tell"),
        (2, "script", "an end without a stream"),
    ] {
        let content = broken(from).end().with(&page.repeat(60));
        let alone = told(1, &content);
        assert_eq!(alone.0, place);
        assert!(alone.1.contains(problem), "{}", alone.1);
        for threads in [2, 3, 8] {
            assert_eq!(told(threads, &content), alone, "{threads} threads");
        }
    }
}

#[test]
fn a_stream_that_passes_its_file_is_refused_whatever_the_number_of_threads() {
    let page = text(5, 900);
    let script = (0..20).fold(Script::default(), |script, _| {
        script.stream(page.len() as u64, 0, ZLIB_6)
    });
    for threads in [1, 2, 8] {
        let forged = Forged {
            threads,
            ..Forged::file(20 * deflate(&page, 6).len() - 1)
        };
        let what = forged.excess(&script.with(&page.repeat(20)));
        assert_eq!(what, "a rebuilt stream");
    }
}

/// Cancels once so many bytes were written.
struct Canceller {
    token: CancelToken,
    after: u64,
    advanced: AtomicU64,
}

impl Progress for Canceller {
    fn advanced(&self, bytes: u64) {
        let before = self.advanced.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes >= self.after {
            self.token.cancel();
        }
    }
}

#[test]
fn a_stop_is_heard_while_streams_are_closed() {
    let made = many(120);
    for threads in [1, 2, 4] {
        let canceller = Canceller {
            token: CancelToken::new(),
            after: 1,
            advanced: AtomicU64::new(0),
        };
        let forged = Forged {
            memory: ROOM,
            ..made.forged(threads)
        };
        let stopped = forged.make_telling(&made.content(), &canceller, &canceller.token);
        assert!(
            matches!(stopped, Err(DeltaError::Cancelled(_))),
            "{stopped:?}"
        );
        let written = canceller.advanced.into_inner();
        assert!(written < made.file.len() as u64 / 10, "{written} bytes");
    }
}

#[test]
fn progress_tells_of_every_byte_once() {
    let made = many(30);
    let counter = Canceller {
        token: CancelToken::new(),
        after: u64::MAX,
        advanced: AtomicU64::new(0),
    };
    let found = made.forged(4);
    let found = found.make_telling(&made.content(), &counter, &counter.token);
    assert!(found.unwrap() == made.file);
    assert_eq!(counter.advanced.into_inner(), made.file.len() as u64);
}
