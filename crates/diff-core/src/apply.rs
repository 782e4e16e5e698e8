mod closing;
mod crew;
mod members;
mod new_files;
mod old_files;
mod reference;
mod sink;
mod stream;
mod task;
mod waiting;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::delta::{Delta, Frame, Group, Origin, Plan};
use crate::error::DeltaError;
use crate::method::{EncodedFrame, codec};
use crate::{CancelToken, Cancelled, Digest, Entry, Limits, Listing, Progress, Silent, Tree};

use closing::{Closing, StepsLeft, Surroundings};
use crew::{Crew, Need, Turn};
use members::{Members, Target};
use new_files::NewFiles;
use old_files::OldFiles;
use reference::reference;
pub use sink::Sink;

/// Turns an old tree and a delta into the built files of the new tree, in bounded memory.
///
/// Frames stream into the [`Sink`]; groups run side by side as far as threads and
/// [`Limits::max_memory_bytes`] allow, and threads that are left close streams for them. Files that come from the old tree, or are the same as a built
/// one, are left to the caller: [`PlannedFile::origin`] tells which they are.
///
/// The bound holds where old files are mapped: what [`Contents`](crate::Contents) reads into memory
/// comes on top of it.
pub struct Applier<'a> {
    delta: &'a Delta<'a>,
    plan: &'a Plan,
    old: Tree<'a>,
    expected: Option<&'a Listing>,
    limits: Limits,
    progress: &'a dyn Progress,
    cancel: CancelToken,
    threads: usize,
}

impl<'a> Applier<'a> {
    /// Returns an applier of `delta` to `old`, for which `plan` was made.
    pub fn new(delta: &'a Delta<'a>, plan: &'a Plan, old: Tree<'a>) -> Applier<'a> {
        Applier {
            delta,
            plan,
            old,
            expected: None,
            limits: Limits::standard(),
            progress: &Silent,
            cancel: CancelToken::new(),
            threads: thread::available_parallelism().map_or(1, usize::from),
        }
    }

    /// Compares every file with `listing`: paths and lengths before anything is written, digests as
    /// soon as each file is.
    pub fn expecting(mut self, listing: &'a Listing) -> Applier<'a> {
        self.expected = Some(listing);
        self
    }

    /// Keeps to `limits` instead of the standard ones.
    pub fn limits(mut self, limits: Limits) -> Applier<'a> {
        self.limits = limits;
        self
    }

    /// Tells `progress` of written bytes; the total is [`Plan::built_bytes`].
    pub fn progress(mut self, progress: &'a dyn Progress) -> Applier<'a> {
        self.progress = progress;
        self
    }

    /// Stops with [`DeltaError::Cancelled`] once `token` is cancelled.
    pub fn cancel(mut self, token: &CancelToken) -> Applier<'a> {
        self.cancel = token.clone();
        self
    }

    /// Uses so many threads instead of one for each core; none counts as one.
    pub fn threads(mut self, threads: usize) -> Applier<'a> {
        self.threads = threads.max(1);
        self
    }

    /// Makes every built file and returns the complete listing of the new tree.
    ///
    /// # Errors
    /// [`DeltaError`]; files that were written until then are worth nothing.
    pub fn apply(&self, sink: &dyn Sink) -> Result<Listing, DeltaError> {
        self.check_old()?;
        if let Some(expected) = self.expected {
            self.check_expected(expected)?;
        }
        let digests = self.run(sink)?;
        let listing = self.listing(&digests)?;
        if let Some(expected) = self.delta.new_tree_digest() {
            let found = listing.digest();
            if found != expected {
                return Err(DeltaError::WrongTree { expected, found });
            }
        }
        Ok(listing)
    }

    fn check_old(&self) -> Result<(), DeltaError> {
        let (expected, found) = (self.plan.old_digest(), self.old.listing.digest());
        if expected != found {
            return Err(DeltaError::WrongOld {
                expected: expected.short(),
                found: found.short(),
            });
        }
        Ok(())
    }

    fn check_expected(&self, expected: &Listing) -> Result<(), DeltaError> {
        let mut files = self.plan.files().iter();
        let mut entries = expected.entries().iter();
        loop {
            let (file, entry) = (files.next(), entries.next());
            let same = match (file, entry) {
                (None, None) => return Ok(()),
                (Some(file), Some(entry)) => file.path == entry.path && file.length == entry.length,
                _ => false,
            };
            if same {
                continue;
            }
            let paths = (file.map(|file| &file.path), entry.map(|entry| &entry.path));
            let path = match paths {
                (Some(file), Some(entry)) => file.min(entry),
                (Some(path), None) | (None, Some(path)) => path,
                (None, None) => return Ok(()),
            };
            let found = file.filter(|file| &file.path == path);
            let wanted = entry.filter(|entry| &entry.path == path);
            return Err(DeltaError::UnexpectedFile {
                path: path.clone(),
                expected: wanted.map(|entry| entry.length),
                found: found.map(|file| file.length),
            });
        }
    }

    /// Runs all groups and returns the digest of each built file, by its index in the plan.
    fn run(&self, sink: &dyn Sink) -> Result<Vec<Option<Digest>>, DeltaError> {
        let groups = self.plan.groups();
        let needs = self.needs();
        let threads = match groups.iter().any(|group| group.opened.is_some()) {
            true => self.threads,
            false => self.threads.min(groups.len()),
        };
        let run = Run {
            applier: self,
            sink,
            old_files: OldFiles::new(self.old),
            new_files: NewFiles::new(self.plan.files(), sink),
            crew: Crew::new(threads, self.limits.max_memory_bytes, needs),
            steps_left: StepsLeft::new(self.limits.max_frames),
            stopped: AtomicBool::new(false),
            failure: Mutex::new(None),
        };
        thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(|| run.work());
            }
            run.work();
        });
        let failure = run.failure.into_inner();
        match failure.unwrap_or_else(PoisonError::into_inner) {
            Some((_, error)) => Err(error),
            None => Ok(run.new_files.into_digests()),
        }
    }

    /// Returns what each group needs before it can begin.
    fn needs(&self) -> Vec<Need> {
        let mut makers = vec![0; self.plan.files().len()];
        let old = self.old.listing.entries().len();
        let mut needs = Vec::with_capacity(self.plan.groups().len());
        for (number, group) in self.plan.groups().iter().enumerate() {
            for member in &group.members {
                if let Some(maker) = makers.get_mut(*member) {
                    *maker = number;
                }
            }
            let sources = group.frames.iter().flat_map(|frame| &frame.references);
            let new = sources.filter_map(|source| source.index.checked_sub(old));
            let after: BTreeSet<usize> = new.filter_map(|new| makers.get(new).copied()).collect();
            needs.push(Need {
                memory: group.memory(&self.limits),
                after: after.into_iter().collect(),
            });
        }
        needs
    }

    fn listing(&self, digests: &[Option<Digest>]) -> Result<Listing, DeltaError> {
        let old = self.old.listing.entries();
        let mut entries = Vec::with_capacity(self.plan.files().len());
        for (index, file) in self.plan.files().iter().enumerate() {
            let digest = match file.origin {
                Origin::Old(index) => old.get(index).map(|entry| entry.digest),
                Origin::SameAs(index) => digests.get(index).copied().flatten(),
                Origin::Built => digests.get(index).copied().flatten(),
            };
            let digest = digest.ok_or_else(|| {
                DeltaError::malformed("plan", 0, format!("nothing makes {}", file.path))
            })?;
            let expected = self
                .expected
                .and_then(|listing| listing.entries().get(index));
            if let Some(expected) = expected.map(|entry| entry.digest)
                && digest != expected
            {
                return Err(DeltaError::WrongDigest {
                    path: file.path.clone(),
                    expected,
                    found: digest,
                });
            }
            entries.push(Entry {
                path: file.path.clone(),
                length: file.length,
                digest,
            });
        }
        Ok(Listing::new(entries, &self.limits)?)
    }
}

/// One run of an applier, shared by its threads.
struct Run<'r, 'a> {
    applier: &'r Applier<'a>,
    sink: &'r dyn Sink,
    old_files: OldFiles<'a>,
    new_files: NewFiles<'r>,
    crew: Crew,
    steps_left: StepsLeft,
    /// Another thread has failed, so that this one's work is in vain.
    stopped: AtomicBool,
    /// The group that failed, the first of them where there are several, and its error.
    failure: Mutex<Option<(usize, DeltaError)>>,
}

impl Run<'_, '_> {
    fn work(&self) {
        while let Some(turn) = self.crew.turn() {
            match turn {
                Turn::Group(number, _share) => self.make(number),
                Turn::Task(task, _share) => self.crew.run(&task, &|| self.check()),
            }
        }
    }

    /// Makes the group with this number and keeps what came of it.
    fn make(&self, number: usize) {
        let made = match self.applier.plan.groups().get(number) {
            Some(group) => self.group(group),
            None => Ok(Vec::new()),
        };
        match made {
            Ok(digests) => {
                for (index, digest) in digests {
                    self.new_files.note(index, digest);
                }
            }
            Err(error) => {
                let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
                // A thread that was stopped by another's failure has none of its own.
                let is_own = !self.stopped.swap(true, Ordering::Relaxed)
                    || !matches!(error, DeltaError::Cancelled(_));
                let is_first = match &*failure {
                    Some((first, _)) => number < *first,
                    None => true,
                };
                if is_own && is_first {
                    *failure = Some((number, error));
                }
                self.crew.stop();
            }
        }
    }

    fn group(&self, group: &Group) -> Result<Vec<(usize, Digest)>, DeltaError> {
        let limits = &self.applier.limits;
        let needed = group.memory(limits);
        DeltaError::check_limit("memory of a group", needed, limits.max_memory_bytes)?;
        let members = Members::new(self.target(), &group.members);
        let mut output = match group.opened {
            None => Output::Members(members),
            Some(opened) => Output::Closing(Closing::new(
                members,
                opened,
                self.applier.plan.recompressors(),
                limits,
                &self.crew,
            )),
        };
        for frame in &group.frames {
            self.frame(frame, &mut output)?;
        }
        match output {
            Output::Members(members) => members.finish(),
            Output::Closing(closing) => closing.finish(),
        }
    }

    fn target(&self) -> Target<'_> {
        Target {
            files: self.applier.plan.files(),
            expected: self.applier.expected,
            progress: self.applier.progress,
            sink: self.sink,
        }
    }

    fn frame<'r>(&'r self, frame: &Frame, output: &mut Output<'r>) -> Result<(), DeltaError> {
        self.check()?;
        let bytes = self.applier.delta.bytes().get(frame.encoded.clone());
        let encoded = EncodedFrame {
            bytes: bytes.unwrap_or_default(),
            offset: frame.encoded.start,
            decoded_length: frame.decoded_length,
            max_window_bytes: self.applier.limits.max_window_bytes,
        };
        let check = || self.check();
        let read = |index: usize| {
            let old = self.applier.old.listing.entries().len();
            match index.checked_sub(old) {
                None => self.old_files.read(index, &check),
                Some(new) => self.new_files.read(new, &check),
            }
        };
        let reference = Arc::new(reference(&frame.references, &read, &check)?);
        let around = Surroundings {
            old_files: &self.old_files,
            reference: &reference,
            steps_left: &self.steps_left,
            check: &check,
        };
        let decoded = codec(frame.method).decode(&reference, &encoded, &mut |piece| {
            self.check()?;
            match output {
                Output::Members(members) => members.write(piece),
                Output::Closing(closing) => closing.write(piece, &around),
            }
        });
        match (decoded, output) {
            (decoded, Output::Members(_)) => decoded,
            // The reference is given up with the frame, so that no stream may still follow it.
            (Ok(()), Output::Closing(closing)) => closing.settle(&around),
            (Err(error), Output::Closing(closing)) => Err(closing.first_error(error, &around)),
        }
    }

    fn check(&self) -> Result<(), Cancelled> {
        self.applier.cancel.check()?;
        if self.stopped.load(Ordering::Relaxed) {
            return Err(Cancelled);
        }
        Ok(())
    }
}

/// Where the frames of a group go.
enum Output<'r> {
    /// The content is the members' own.
    Members(Members<'r>),
    /// The content is closed into the members.
    Closing(Closing<'r>),
}
