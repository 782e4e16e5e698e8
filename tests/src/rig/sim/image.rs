use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use diff_core::Digest;

/// A folder with all that is in it, as a value.
#[derive(Debug, Clone, Default)]
pub struct Image {
    entries: BTreeMap<PathBuf, Node>,
    /// Folders that have more than one name, by each of them.
    pub aliased: Vec<PathBuf>,
}

/// What a path of an [`Image`] stands for.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    /// A folder.
    Folder,
    /// A file: names of one number are names of one file.
    File(Content, usize),
}

/// Bytes that are digested once, however many images have them.
#[derive(Debug, Clone)]
pub(crate) struct Content {
    pub(crate) bytes: Arc<Vec<u8>>,
    digest: Digest,
}

impl Content {
    pub(crate) fn new(bytes: Vec<u8>) -> Content {
        Content {
            digest: Digest::of(&bytes),
            bytes: Arc::new(bytes),
        }
    }
}

impl Image {
    /// Reads what lies below `folder`; a name of a file that has several counts as a file each.
    pub fn read(folder: &Path) -> Image {
        let mut image = Image::default();
        let mut folders = vec![PathBuf::new()];
        while let Some(inner) = folders.pop() {
            for entry in fs::read_dir(folder.join(&inner)).unwrap() {
                let entry = entry.unwrap();
                let path = inner.join(entry.file_name());
                if entry.file_type().unwrap().is_dir() {
                    folders.push(path.clone());
                    image.put(path, Node::Folder);
                } else {
                    let content = Content::new(fs::read(entry.path()).unwrap());
                    let number = image.entries.len();
                    image.put(path, Node::File(content, number));
                }
            }
        }
        image
    }

    /// Makes the empty folder `folder` one that looks like this.
    pub fn build(&self, folder: &Path) {
        let mut names: HashMap<usize, PathBuf> = HashMap::new();
        for (path, node) in &self.entries {
            let at = folder.join(path);
            match node {
                Node::Folder => fs::create_dir(at).unwrap(),
                Node::File(content, number) => match names.get(number) {
                    Some(first) => fs::hard_link(first, at).unwrap(),
                    None => {
                        fs::write(&at, &*content.bytes).unwrap();
                        names.insert(*number, at);
                    }
                },
            }
        }
    }

    /// Returns a digest of all names and bytes.
    pub fn digest(&self) -> Digest {
        let mut text = String::new();
        for (path, node) in &self.entries {
            let digest = match node {
                Node::Folder => "folder".to_owned(),
                Node::File(content, _) => content.digest.to_string(),
            };
            text.push_str(&format!("{}\0{digest}\0", path.display()));
        }
        for path in &self.aliased {
            text.push_str(&format!("{}\0aliased\0", path.display()));
        }
        Digest::of(text.as_bytes())
    }

    /// Returns the names of files and folders that are in one of the two alone, or differ.
    pub fn differences(&self, other: &Image) -> Vec<PathBuf> {
        let all = self.entries.keys().chain(other.entries.keys());
        let mut names: Vec<PathBuf> = all
            .filter(
                |path| match (self.entries.get(*path), other.entries.get(*path)) {
                    (Some(Node::Folder), Some(Node::Folder)) => false,
                    (Some(Node::File(one, _)), Some(Node::File(two, _))) => {
                        one.digest != two.digest
                    }
                    _ => true,
                },
            )
            .cloned()
            .collect();
        names.sort();
        names.dedup();
        names
    }

    pub(crate) fn put(&mut self, path: PathBuf, node: Node) {
        self.entries.insert(path, node);
    }

    pub(crate) fn entries(&self) -> &BTreeMap<PathBuf, Node> {
        &self.entries
    }
}
