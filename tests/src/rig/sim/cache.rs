use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::image::{Content, Image, Node};
use super::trace::Step;

/// What a file system promises of what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// As ext4 and its like: names change in one order, a sync of anything makes all names before it
    /// durable, and a rename is one change. Bytes may be lost all the same.
    Journaled,
    /// The least that POSIX allows: a sync is good for its own file or folder alone, and each name
    /// that was not synced has its old meaning or any later one, whatever became of the others; so a
    /// rename may be half done.
    Weakest,
}

/// A folder as a running system sees it, and what of it a power cut spares.
pub struct Cache {
    base: PathBuf,
    durability: Durability,
    inodes: Vec<Inode>,
    open: HashMap<usize, usize>,
    steps: usize,
}

pub(crate) enum Inode {
    File(FileState),
    Folder(FolderState),
}

pub(crate) struct FileState {
    /// What a power cut spares.
    pub(crate) durable: Content,
    /// What was written since, in its order.
    pub(crate) pending: Vec<Change>,
    pub(crate) live: Vec<u8>,
    /// Whether a failed sync has dropped bytes that still seem to be there.
    dropped: bool,
}

#[derive(Clone)]
pub(crate) enum Change {
    Write(usize, Arc<[u8]>),
    Length(usize),
}

#[derive(Default)]
pub(crate) struct FolderState {
    pub(crate) durable: BTreeMap<OsString, usize>,
    pub(crate) pending: Vec<NameChange>,
    pub(crate) live: BTreeMap<OsString, usize>,
}

/// A name that from the step `at` on means `to`, or nothing.
pub(crate) struct NameChange {
    pub(crate) at: usize,
    pub(crate) name: OsString,
    pub(crate) to: Option<usize>,
}

impl Cache {
    /// Returns the cache over `image`, all of which is durable, as it lies in the folder `base`.
    pub fn new(base: &Path, image: &Image, durability: Durability) -> Cache {
        let mut cache = Cache {
            base: base.to_owned(),
            durability,
            inodes: vec![Inode::Folder(FolderState::default())],
            open: HashMap::new(),
            steps: 0,
        };
        let mut files = HashMap::new();
        for (path, node) in image.entries() {
            let number = match node {
                Node::Folder => cache.push(Inode::Folder(FolderState::default())),
                Node::File(content, number) => *files.entry(*number).or_insert_with(|| {
                    cache.push(Inode::File(FileState {
                        live: content.bytes.to_vec(),
                        durable: content.clone(),
                        pending: Vec::new(),
                        dropped: false,
                    }))
                }),
            };
            let (folder, name) = cache.place(&cache.base.join(path)).unwrap();
            let folder = cache.folder(folder);
            folder.durable.insert(name.clone(), number);
            folder.live.insert(name, number);
        }
        cache
    }

    /// Takes what happened next.
    pub fn apply(&mut self, step: &Step) {
        self.steps += 1;
        match step {
            Step::CreateDir(path) => {
                let number = self.push(Inode::Folder(FolderState::default()));
                self.name(path, Some(number));
            }
            Step::Create(path, file) => {
                let number = self.push(Inode::File(FileState {
                    durable: Content::new(Vec::new()),
                    pending: Vec::new(),
                    live: Vec::new(),
                    dropped: false,
                }));
                self.name(path, Some(number));
                self.open.insert(*file, number);
            }
            Step::Open(path, file) => {
                if let Some(number) = self.find(path) {
                    self.open.insert(*file, number);
                }
            }
            Step::Write {
                file,
                offset,
                bytes,
            } => self.change(*file, Change::Write(*offset, Arc::clone(bytes))),
            Step::SetLength(file, length) => self.change(*file, Change::Length(*length)),
            Step::Link(from, to) => {
                let number = self.find(from);
                self.name(to, number);
            }
            Step::Rename(from, to) => {
                let number = self.find(from);
                self.name(to, number);
                self.name(from, None);
            }
            Step::Remove(path) => self.name(path, None),
            // Losing it harms nothing, so it is as if it were lost.
            Step::SetReadOnly(_) => {}
            Step::Sync(file) => {
                if let Some(number) = self.open.get(file).copied() {
                    self.sync_file(number);
                }
                self.commit_journal();
            }
            Step::SyncFailed(file) => {
                if let Some(number) = self.open.get(file).copied() {
                    self.drop_pending(number);
                }
            }
            Step::SyncDir(path) => {
                if let Some(number) = self.find(path) {
                    self.sync_folder(number);
                }
                self.commit_journal();
            }
            Step::SyncTree(root, written) => {
                for path in written {
                    if let Some(number) = self.find(path) {
                        self.sync_file(number);
                    }
                }
                if let Some(number) = self.find(root) {
                    self.sync_folders(number);
                }
                self.commit_journal();
            }
            Step::SyncTreeFailed(written) => {
                for path in written {
                    if let Some(number) = self.find(path) {
                        self.drop_pending(number);
                    }
                }
            }
        }
    }

    /// Returns what the running system sees.
    pub fn live(&self) -> Image {
        self.image(
            |_, folder| folder.live.clone(),
            |_, file| Content::new(file.live.clone()),
        )
    }

    /// Returns the image whose folders and files are what the two functions make of them, by number.
    pub(crate) fn image(
        &self,
        names: impl Fn(usize, &FolderState) -> BTreeMap<OsString, usize>,
        content: impl Fn(usize, &FileState) -> Content,
    ) -> Image {
        let mut image = Image::default();
        let mut folders = vec![(PathBuf::new(), 0)];
        let mut seen: HashMap<usize, Vec<PathBuf>> = HashMap::new();
        let mut contents: HashMap<usize, Content> = HashMap::new();
        while let Some((path, number)) = folders.pop() {
            let Some(Inode::Folder(folder)) = self.inodes.get(number) else {
                continue;
            };
            for (name, inner) in names(number, folder) {
                let path = path.join(name);
                match self.inodes.get(inner) {
                    Some(Inode::Folder(_)) => {
                        seen.entry(inner).or_default().push(path.clone());
                        image.put(path.clone(), Node::Folder);
                        folders.push((path, inner));
                    }
                    Some(Inode::File(file)) => {
                        let bytes = contents
                            .entry(inner)
                            .or_insert_with(|| content(inner, file));
                        image.put(path, Node::File(bytes.clone(), inner));
                    }
                    None => {}
                }
            }
        }
        image.aliased = seen
            .into_values()
            .filter(|paths| paths.len() > 1)
            .flatten()
            .collect();
        image.aliased.sort();
        image
    }

    pub(crate) fn inodes(&self) -> &[Inode] {
        &self.inodes
    }

    pub(crate) fn durability(&self) -> Durability {
        self.durability
    }

    fn push(&mut self, inode: Inode) -> usize {
        self.inodes.push(inode);
        self.inodes.len() - 1
    }

    /// Returns what a path means to the running system; nothing for what lies outside the base.
    fn find(&self, path: &Path) -> Option<usize> {
        let mut number = 0;
        for name in path.strip_prefix(&self.base).ok()?.iter() {
            let Some(Inode::Folder(folder)) = self.inodes.get(number) else {
                return None;
            };
            number = *folder.live.get(name)?;
        }
        Some(number)
    }

    fn place(&self, path: &Path) -> Option<(usize, OsString)> {
        let name: &OsStr = path.file_name()?;
        Some((self.find(path.parent()?)?, name.to_owned()))
    }

    fn folder(&mut self, number: usize) -> &mut FolderState {
        match &mut self.inodes[number] {
            Inode::Folder(folder) => folder,
            Inode::File(_) => panic!("a file where a folder should be"),
        }
    }

    fn name(&mut self, path: &Path, to: Option<usize>) {
        let Some((folder, name)) = self.place(path) else {
            return;
        };
        let at = self.steps;
        let folder = self.folder(folder);
        match to {
            Some(number) => folder.live.insert(name.clone(), number),
            None => folder.live.remove(&name),
        };
        folder.pending.push(NameChange { at, name, to });
    }

    fn change(&mut self, file: usize, change: Change) {
        let Some(number) = self.open.get(&file) else {
            return;
        };
        if let Inode::File(state) = &mut self.inodes[*number] {
            change.make(&mut state.live);
            state.pending.push(change);
        }
    }

    fn sync_file(&mut self, number: usize) {
        if let Inode::File(file) = &mut self.inodes[number] {
            let pending = std::mem::take(&mut file.pending);
            let mut bytes = file.durable.bytes.to_vec();
            pending.iter().for_each(|change| change.make(&mut bytes));
            if !pending.is_empty() {
                file.durable = Content::new(bytes);
            }
            assert!(file.dropped || *file.durable.bytes == file.live);
        }
    }

    /// The system sees what was written until the power goes; no sync will ever write it.
    fn drop_pending(&mut self, number: usize) {
        if let Inode::File(file) = &mut self.inodes[number] {
            file.pending.clear();
            file.dropped = true;
        }
    }

    fn sync_folder(&mut self, number: usize) {
        let folder = self.folder(number);
        for change in std::mem::take(&mut folder.pending) {
            match change.to {
                Some(number) => folder.durable.insert(change.name, number),
                None => folder.durable.remove(&change.name),
            };
        }
    }

    fn sync_folders(&mut self, number: usize) {
        let Inode::Folder(folder) = &self.inodes[number] else {
            return;
        };
        let inner: BTreeSet<usize> = folder.live.values().copied().collect();
        self.sync_folder(number);
        for number in inner {
            self.sync_folders(number);
        }
    }

    fn commit_journal(&mut self) {
        if self.durability == Durability::Journaled {
            for number in 0..self.inodes.len() {
                if matches!(self.inodes[number], Inode::Folder(_)) {
                    self.sync_folder(number);
                }
            }
        }
    }
}

impl Change {
    pub(crate) fn make(&self, bytes: &mut Vec<u8>) {
        match self {
            Change::Write(offset, written) => {
                let end = offset + written.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[*offset..end].copy_from_slice(written);
            }
            Change::Length(length) => bytes.resize(*length, 0),
        }
    }
}
