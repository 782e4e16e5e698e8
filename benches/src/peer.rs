use std::fs;
use std::path::Path;

use diff_core::Digest;

use crate::Outcome;
use crate::measure::{Figures, Row, cost_of, is_installed};
use crate::pair::{Prepared, text};

/// A program that does what Satchel does, to one file of each side.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    name: &'static str,
    programs: &'static [&'static str],
    /// Arguments in which `OLD`, `NEW` and `DELTA` stand for files, `WINDOW` for the bytes of the old one.
    create: &'static [&'static str],
    apply: &'static [&'static str],
    /// The greatest tar that it is given: beyond, it takes hours or all memory.
    max_bytes: u64,
    /// How it packs a tree from nothing, if it does.
    whole: Option<(&'static [&'static str], &'static [&'static str])>,
}

/// Returns the peers that this machine has.
pub(crate) fn installed() -> Vec<Peer> {
    let has_all = |peer: &Peer| peer.programs.iter().all(|program| is_installed(program));
    PEERS.into_iter().filter(has_all).collect()
}

impl Peer {
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Measures the delta between the two tars.
    pub(crate) fn measure(&self, pair: &Prepared, scratch: &Path) -> Row {
        let longest = pair.old.tar_bytes.max(pair.new.tar_bytes);
        let outcome = if longest > self.max_bytes {
            Err(format!("not run on more than {} MiB", self.max_bytes >> 20).into())
        } else {
            self.figures(pair, scratch, self.create, self.apply)
        };
        Row {
            tool: self.name.to_owned(),
            outcome,
        }
    }

    /// Measures the new tar by itself.
    pub(crate) fn measure_whole(&self, pair: &Prepared, scratch: &Path) -> Option<Row> {
        let (create, apply) = self.whole?;
        let outcome = self.figures(pair, scratch, create, apply);
        Some(Row {
            tool: format!("tar, {}", create[..3].join(" ")),
            outcome,
        })
    }

    fn figures(
        &self,
        pair: &Prepared,
        scratch: &Path,
        create: &[&str],
        apply: &[&str],
    ) -> Outcome<Figures> {
        let (delta, made) = (scratch.join("delta"), scratch.join("made.tar"));
        let (old, delta_text) = (text(&pair.old.tar)?, text(&delta)?);
        let run = |command: &[&str], new: &Path| {
            let new = text(new)?;
            let filled = command
                .iter()
                .map(|&argument| match argument.rsplit_once('=') {
                    Some((option, "OLD")) => format!("{option}={old}"),
                    _ => match argument {
                        "OLD" => old.to_owned(),
                        "NEW" => new.to_owned(),
                        "DELTA" => delta_text.to_owned(),
                        "WINDOW" => pair.old.tar_bytes.max(LEAST_WINDOW).to_string(),
                        other => other.to_owned(),
                    },
                });
            let filled: Vec<String> = filled.collect();
            let mut filled = filled.iter().map(String::as_str);
            let program = filled.next().unwrap_or_default();
            cost_of(program, &filled.collect::<Vec<_>>())
        };
        let create = run(create, &pair.new.tar)?;
        let apply = run(apply, &made)?;
        let digest = |path: &Path| Digest::of_reader(fs::File::open(path)?);
        if digest(&made)? != digest(&pair.new.tar)? {
            return Err("what was made is not the new tar".into());
        }
        let figures = Figures {
            delta_bytes: fs::metadata(&delta)?.len(),
            create,
            apply,
            apply_alone: None,
        };
        fs::remove_file(&made)?;
        fs::remove_file(&delta)?;
        Ok(figures)
    }
}

/// xdelta3 takes no source window below 512 KiB; its own default is 64 MiB.
const LEAST_WINDOW: u64 = 64 << 20;

const PEERS: [Peer; 5] = [
    Peer {
        name: "zstd -19 --patch-from",
        programs: &["zstd"],
        create: &[
            "zstd",
            "-19",
            "--long=30",
            "-qf",
            "--patch-from=OLD",
            "NEW",
            "-o",
            "DELTA",
        ],
        apply: &[
            "zstd",
            "-d",
            "--long=30",
            "-qf",
            "--patch-from=OLD",
            "DELTA",
            "-o",
            "NEW",
        ],
        max_bytes: 1 << 30,
        whole: Some((
            &["zstd", "-19", "--long=27", "-qf", "NEW", "-o", "DELTA"],
            &["zstd", "-d", "--long=27", "-qf", "DELTA", "-o", "NEW"],
        )),
    },
    Peer {
        name: "zstd -3 --patch-from",
        programs: &["zstd"],
        create: &[
            "zstd",
            "-3",
            "--long=30",
            "-qf",
            "--patch-from=OLD",
            "NEW",
            "-o",
            "DELTA",
        ],
        apply: &[
            "zstd",
            "-d",
            "--long=30",
            "-qf",
            "--patch-from=OLD",
            "DELTA",
            "-o",
            "NEW",
        ],
        max_bytes: 1 << 30,
        whole: None,
    },
    Peer {
        name: "hdiffz -m-1 -c-lzma2-9",
        programs: &["hdiffz", "hpatchz"],
        create: &["hdiffz", "-f", "-m-1", "-c-lzma2-9", "OLD", "NEW", "DELTA"],
        apply: &["hpatchz", "-f", "OLD", "DELTA", "NEW"],
        max_bytes: 1 << 30,
        whole: None,
    },
    Peer {
        name: "xdelta3 -9",
        programs: &["xdelta3"],
        create: &[
            "xdelta3", "-e", "-9", "-f", "-B", "WINDOW", "-s", "OLD", "NEW", "DELTA",
        ],
        apply: &[
            "xdelta3", "-d", "-f", "-B", "WINDOW", "-s", "OLD", "DELTA", "NEW",
        ],
        max_bytes: 1 << 29,
        whole: None,
    },
    Peer {
        name: "bsdiff",
        programs: &["bsdiff", "bspatch"],
        create: &["bsdiff", "OLD", "NEW", "DELTA"],
        apply: &["bspatch", "OLD", "NEW", "DELTA"],
        max_bytes: 128 << 20,
        whole: None,
    },
];
