use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use updater_client::library::disk::{
    Disk, DiskError, DiskFile, FolderEntry, Link, Operation, RawFile, RealDisk, telling_of_names,
};

use super::trace::{Call, Step, Trace};

/// A [`RealDisk`] that writes down every call, and misbehaves as its [`Script`] says.
pub struct SimDisk {
    shared: Arc<Shared>,
}

/// What goes wrong on a [`SimDisk`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Script {
    /// The first call that goes wrong, counted from 0 over all calls, those that only look included.
    pub at: Option<usize>,
    /// How.
    pub trouble: Trouble,
    /// Whether every call behind it goes wrong as well.
    pub for_good: bool,
    /// Whether files can have two names here: FAT has no such thing.
    pub no_links: bool,
    /// How many bytes a file can have at most: FAT holds none of 4 GiB.
    pub file_limit: Option<u64>,
    /// Whether that shows only when a file becomes too long.
    pub hides_limit: bool,
    /// How many names a folder takes at most: FAT32 has room for so many, however much is free.
    pub most_names: Option<usize>,
}

/// How a call goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Trouble {
    /// It does not.
    #[default]
    None,
    /// It fails with this number of the system's and changes nothing.
    Errno(i32),
    /// A write writes half of its bytes and says so; other calls are not troubled.
    Short,
    /// The process is killed: neither this call nor a later one happens.
    Killed,
}

struct Shared {
    inner: RealDisk,
    script: Script,
    trace: Arc<Mutex<Trace>>,
    watch: Watch,
}

/// What looks on at each call, before it is made.
type Watch = Box<dyn Fn(&Call) + Send + Sync>;

impl SimDisk {
    /// Returns a disk that behaves as `script` says.
    pub fn new(script: Script) -> SimDisk {
        SimDisk::going_on(script, Arc::default())
    }

    /// Returns a disk that goes on with the trace of another: of a process that follows another
    /// without the power going in between.
    pub fn going_on(script: Script, trace: Arc<Mutex<Trace>>) -> SimDisk {
        SimDisk::made(script, trace, Box::new(|_| {}))
    }

    /// Returns a disk whose calls somebody looks on at, each before it is made.
    pub fn watched(script: Script, watch: impl Fn(&Call) + Send + Sync + 'static) -> SimDisk {
        SimDisk::made(script, Arc::default(), Box::new(watch))
    }

    fn made(script: Script, trace: Arc<Mutex<Trace>>, watch: Watch) -> SimDisk {
        let shared = Shared {
            inner: RealDisk::new(),
            script,
            trace,
            watch,
        };
        SimDisk {
            shared: Arc::new(shared),
        }
    }

    /// Returns what is being written down.
    pub fn trace(&self) -> Arc<Mutex<Trace>> {
        Arc::clone(&self.shared.trace)
    }

    fn call<T>(
        &self,
        operation: Operation,
        path: &Path,
        work: impl FnOnce(&RealDisk) -> Result<T, DiskError>,
        step: impl FnOnce(&T, &mut Trace),
    ) -> Result<T, DiskError> {
        let mut trace = self.shared.lock();
        self.shared
            .enter(&mut trace, operation, path)
            .map_err(|failed| DiskError::new(operation, path, failed))?;
        if matches!(
            operation,
            Operation::Create | Operation::CreateDir | Operation::Link
        ) {
            self.shared.name(operation, path)?;
        }
        let value = work(&self.shared.inner)?;
        step(&value, &mut trace);
        Ok(value)
    }

    fn opened(&self, path: &Path, file: DiskFile, number: usize, offset: usize) -> DiskFile {
        let shared = Arc::clone(&self.shared);
        let raw = SimFile {
            file,
            shared,
            number,
            offset,
        };
        DiskFile::new(path, Box::new(raw))
    }
}

impl Disk for SimDisk {
    fn read(&self, path: &Path, most: u64) -> Result<Option<Vec<u8>>, DiskError> {
        self.call(Operation::Read, path, |d| d.read(path, most), |_, _| {})
    }

    fn open(&self, path: &Path) -> Result<Box<dyn Read + Send>, DiskError> {
        let reader = self.call(Operation::Read, path, |d| d.open(path), |_, _| {})?;
        Ok(Box::new(SimReader {
            reader,
            path: path.to_owned(),
            shared: Arc::clone(&self.shared),
        }))
    }

    fn length(&self, path: &Path) -> Result<Option<u64>, DiskError> {
        self.call(Operation::Look, path, |d| d.length(path), |_, _| {})
    }

    fn list(&self, path: &Path) -> Result<Vec<FolderEntry>, DiskError> {
        self.call(Operation::List, path, |d| d.list(path), |_, _| {})
    }

    fn available_bytes(&self, path: &Path) -> Result<u64, DiskError> {
        let ask = |d: &RealDisk| d.available_bytes(path);
        self.call(Operation::AskSpace, path, ask, |_, _| {})
    }

    fn file_limit(&self, _folder: &Path, bytes: u64) -> Result<Option<u64>, DiskError> {
        let script = self.shared.script;
        let told = script.file_limit.filter(|_| !script.hides_limit);
        Ok(told.filter(|limit| bytes > *limit))
    }

    fn open_lock(&self, path: &Path) -> Result<File, DiskError> {
        let is_new = !is_there(path);
        let record = |_: &File, trace: &mut Trace| {
            if is_new {
                trace.create(path);
            }
        };
        self.call(Operation::Lock, path, |d| d.open_lock(path), record)
    }

    fn write_lock(&self, path: &Path, file: &mut File, bytes: &[u8]) -> Result<(), DiskError> {
        let record = |_: &(), trace: &mut Trace| {
            let number = trace.open(path);
            trace.steps.push(Step::SetLength(number, 0));
            trace.write(number, 0, bytes);
        };
        let write = |d: &RealDisk| d.write_lock(path, file, bytes);
        self.call(Operation::Write, path, write, record)
    }

    fn create_dir(&self, path: &Path) -> Result<(), DiskError> {
        let is_new = !is_there(path);
        let record = |_: &(), trace: &mut Trace| {
            if is_new {
                trace.steps.push(Step::CreateDir(path.to_owned()));
            }
        };
        self.call(Operation::CreateDir, path, |d| d.create_dir(path), record)
    }

    fn create(&self, path: &Path) -> Result<DiskFile, DiskError> {
        let mut number = 0;
        let file = self.call(
            Operation::Create,
            path,
            |d| d.create(path),
            |_, trace| number = trace.create(path),
        )?;
        Ok(self.opened(path, file, number, 0))
    }

    fn append(&self, path: &Path) -> Result<DiskFile, DiskError> {
        let is_new = !is_there(path);
        let (mut number, mut offset) = (0, 0);
        let file = self.call(
            Operation::Create,
            path,
            |d| d.append(path),
            |_, trace| {
                offset = length(path);
                number = match is_new {
                    true => trace.create(path),
                    false => trace.open(path),
                };
            },
        )?;
        Ok(self.opened(path, file, number, offset))
    }

    fn link(&self, from: &Path, to: &Path) -> Result<Option<Link>, DiskError> {
        if self.shared.script.no_links {
            return Ok(None);
        }
        let record = |link: &Option<Link>, trace: &mut Trace| match link {
            Some(Link::HardLinked) => trace.steps.push(Step::Link(from.into(), to.into())),
            Some(_) => {
                let number = trace.create(to);
                trace.write(number, 0, &fs::read(to).unwrap());
            }
            None => {}
        };
        self.call(Operation::Link, to, |d| d.link(from, to), record)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        let record = |_: &(), trace: &mut Trace| {
            trace.steps.push(Step::Rename(from.into(), to.into()));
        };
        self.call(Operation::Rename, from, |d| d.rename(from, to), record)
    }

    fn remove_file(&self, path: &Path) -> Result<(), DiskError> {
        let was_there = is_there(path);
        let record = |_: &(), trace: &mut Trace| trace.remove(path, was_there);
        self.call(Operation::Remove, path, |d| d.remove_file(path), record)
    }

    fn remove_dir(&self, path: &Path) -> Result<(), DiskError> {
        let was_there = is_there(path);
        let record = |_: &(), trace: &mut Trace| trace.remove(path, was_there);
        self.call(Operation::Remove, path, |d| d.remove_dir(path), record)
    }

    fn set_read_only(&self, path: &Path) -> Result<(), DiskError> {
        let record = |_: &(), trace: &mut Trace| trace.steps.push(Step::SetReadOnly(path.into()));
        let set = |d: &RealDisk| d.set_read_only(path);
        self.call(Operation::SetReadOnly, path, set, record)
    }

    fn sync_dir(&self, path: &Path) -> Result<(), DiskError> {
        let record = |_: &(), trace: &mut Trace| trace.steps.push(Step::SyncDir(path.into()));
        self.call(Operation::SyncDir, path, |d| d.sync_dir(path), record)
    }

    fn sync_tree(&self, root: &Path, written: &[PathBuf]) -> Result<(), DiskError> {
        // Not on the folder of the test, which lies on a disk that others use as well.
        let outcome = self.call(
            Operation::SyncTree,
            root,
            |_| Ok(()),
            |(), trace| {
                let step = Step::SyncTree(root.into(), written.to_vec());
                trace.steps.push(step);
            },
        );
        if outcome.is_err() && !self.shared.is_killed() {
            let step = Step::SyncTreeFailed(written.to_vec());
            self.shared.lock().steps.push(step);
        }
        outcome
    }
}

struct SimFile {
    file: DiskFile,
    shared: Arc<Shared>,
    number: usize,
    offset: usize,
}

impl RawFile for SimFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut trace = self.shared.lock();
        let is_short = self
            .shared
            .enter(&mut trace, Operation::Write, self.file.path())?;
        let bytes = match is_short && bytes.len() > 1 {
            true => bytes.split_at(bytes.len() / 2).0,
            false => bytes,
        };
        let end = (self.offset + bytes.len()) as u64;
        if self
            .shared
            .script
            .file_limit
            .is_some_and(|limit| end > limit)
        {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.file.write_all(bytes)?;
        trace.write(self.number, self.offset, bytes);
        self.offset += bytes.len();
        Ok(bytes.len())
    }

    fn set_length(&mut self, length: u64) -> io::Result<()> {
        let mut trace = self.shared.lock();
        self.shared
            .enter(&mut trace, Operation::SetLength, self.file.path())?;
        self.file.set_length(length)?;
        self.offset = usize::try_from(length).unwrap();
        trace.steps.push(Step::SetLength(self.number, self.offset));
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut trace = self.shared.lock();
        let outcome = self
            .shared
            .enter(&mut trace, Operation::Sync, self.file.path());
        match &outcome {
            Ok(_) => trace.steps.push(Step::Sync(self.number)),
            Err(again) if again.kind() == io::ErrorKind::Interrupted => {}
            Err(_) if self.shared.is_killed() => {}
            Err(_) => trace.steps.push(Step::SyncFailed(self.number)),
        }
        outcome.map(drop)
    }
}

struct SimReader {
    reader: Box<dyn Read + Send>,
    path: PathBuf,
    shared: Arc<Shared>,
}

impl Read for SimReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut trace = self.shared.lock();
        self.shared.enter(&mut trace, Operation::Read, &self.path)?;
        drop(trace);
        self.reader.read(buffer)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Trace> {
        self.trace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call, and fails when the script says so; tells whether a write is to be short.
    fn enter(&self, trace: &mut Trace, operation: Operation, path: &Path) -> io::Result<bool> {
        let number = trace.calls.len();
        let is_hit = self.script.at.is_some_and(|at| match self.script.for_good {
            true => number >= at,
            false => number == at,
        });
        let outcome = match self.script.trouble {
            Trouble::Errno(errno) if is_hit => Err(io::Error::from_raw_os_error(errno)),
            Trouble::Killed if is_hit => Err(io::Error::other("killed")),
            trouble => Ok(is_hit && trouble == Trouble::Short),
        };
        let call = Call {
            operation,
            path: path.to_owned(),
            failure: outcome.as_ref().err().map(io::Error::kind),
        };
        (self.watch)(&call);
        trace.calls.push(call);
        outcome
    }

    /// Fails where the folder of `path` takes no other name.
    fn name(&self, operation: Operation, path: &Path) -> Result<(), DiskError> {
        let Some(most) = self.script.most_names.filter(|_| !is_there(path)) else {
            return Ok(());
        };
        if fs::read_dir(path.parent().unwrap()).unwrap().count() < most {
            return Ok(());
        }
        let full = io::ErrorKind::StorageFull.into();
        let failed = DiskError::new(operation, path, full);
        Err(telling_of_names(&self.inner, failed))
    }

    fn is_killed(&self) -> bool {
        self.script.trouble == Trouble::Killed
    }
}

impl Trace {
    fn create(&mut self, path: &Path) -> usize {
        let number = self.steps.len();
        self.steps.push(Step::Create(path.to_owned(), number));
        number
    }

    fn open(&mut self, path: &Path) -> usize {
        let number = self.steps.len();
        self.steps.push(Step::Open(path.to_owned(), number));
        number
    }

    fn write(&mut self, file: usize, offset: usize, bytes: &[u8]) {
        let bytes = bytes.into();
        self.steps.push(Step::Write {
            file,
            offset,
            bytes,
        });
    }

    fn remove(&mut self, path: &Path, was_there: bool) {
        if was_there {
            self.steps.push(Step::Remove(path.to_owned()));
        }
    }
}

fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

fn length(path: &Path) -> usize {
    usize::try_from(fs::metadata(path).unwrap().len()).unwrap()
}
