//! Files that are made by scripts as a test tells them.
#![allow(clippy::panic, reason = "what a test expects otherwise")]

use diff_core::{Applier, CancelToken, Delta, DeltaError, Limits, Progress, Silent};

use super::containers::{deflate, foreign_deflate, zlib};
use super::forge::{Forge, insert_built, keep};
use super::png::Picture;
use super::{MemorySink, MemoryTree};

pub(crate) const TEXT: &[u8] =
    b"cells divide, and divide again; cells come from cells, and divide once more";
pub(crate) const ROOM: u64 = 1 << 20;

pub(crate) fn old() -> MemoryTree {
    let mut packed = b"front".to_vec();
    packed.extend(deflate(TEXT, 6));
    packed.extend(b"behind");
    MemoryTree::new(&[
        ("a.zip", packed),
        ("b.png", picture().png(&[1, 2], 6, 40)),
        ("c.txt", TEXT.to_vec()),
        ("d.z", zlib(TEXT, &foreign_deflate(TEXT))),
    ])
}

pub(crate) fn picture() -> Picture {
    Picture {
        width: 8,
        colours: 3,
        palette: (0..30).collect(),
        alphas: vec![0, 100],
        pixels: (0..96_u8).map(|at| at % 10).collect(),
    }
}

/// A file of `length` bytes, made of content that is stored in a frame against steps through old files.
#[derive(Clone)]
pub(crate) struct Forged {
    pub(crate) length: usize,
    pub(crate) memory: u64,
    /// The old file that the frame is coded against, and the steps through it.
    pub(crate) source: Option<(i64, Vec<u8>)>,
    /// What the plan says that streams are rebuilt by, a bit for each.
    pub(crate) recompressors: u64,
    pub(crate) limits: Limits,
    pub(crate) threads: usize,
}

impl Forged {
    pub(crate) fn file(length: usize) -> Forged {
        Forged {
            length,
            memory: ROOM,
            source: None,
            recompressors: 7,
            limits: Limits::standard(),
            threads: 2,
        }
    }

    pub(crate) fn against(mut self, index: i64, steps: &[u8]) -> Forged {
        self.source = Some((index, steps.to_vec()));
        self
    }

    pub(crate) fn make(&self, content: &[u8]) -> Result<Vec<u8>, DeltaError> {
        self.make_telling(content, &Silent, &CancelToken::new())
    }

    /// Makes the file as [`Forged::make`] does, while others hear of it and may stop it.
    pub(crate) fn make_telling(
        &self,
        content: &[u8],
        progress: &dyn Progress,
        cancel: &CancelToken,
    ) -> Result<Vec<u8>, DeltaError> {
        let old = old();
        let forge = Forge::over(&old)
            .newest()
            .recompressors(self.recompressors)
            .record(keep(4))
            .record(insert_built(0, "new", self.length as u64))
            .opened_group(content.len() as u64, self.memory);
        let length = content.len() as u64;
        let forge = match &self.source {
            None => forge.frame(0, &[], length, content),
            Some((index, steps)) => forge.frame_with_steps(0, *index, steps, length, content),
        };
        let bytes = forge.delta();
        let delta = Delta::parse(&bytes, &self.limits)?;
        let plan = delta.plan(&old.listing)?;
        let sink = MemorySink::default();
        Applier::new(&delta, &plan, old.tree())
            .limits(self.limits.clone())
            .threads(self.threads)
            .progress(progress)
            .cancel(cancel)
            .apply(&sink)?;
        Ok(sink.bytes("new"))
    }

    /// Returns which part of the delta is malformed, and why.
    pub(crate) fn refusal(&self, content: &[u8]) -> (&'static str, String) {
        match self.make(content) {
            Err(DeltaError::Malformed { place, problem, .. }) => (place, problem),
            other => panic!("expected what is malformed, found {other:?}"),
        }
    }

    /// Returns what the content claims too much of.
    pub(crate) fn excess(&self, content: &[u8]) -> &'static str {
        match self.make(content) {
            Err(DeltaError::Limit { what, .. }) => what,
            other => panic!("expected a limit, found {other:?}"),
        }
    }
}

#[track_caller]
pub(crate) fn assert_refusal(forged: &Forged, content: &[u8], place: &str, told: &str) {
    let (found, problem) = forged.refusal(content);
    assert_eq!(found, place, "{problem}");
    assert!(problem.contains(told), "{problem}");
}
