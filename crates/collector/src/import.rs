use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use release_format::{Receipt, SignedReceipt, UtcTime};

use crate::error::CollectorError;
use crate::store::Store;
use crate::tally::{Tally, tally_of};

/// What an import found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Imported {
    /// Receipts that are counted now.
    pub new: u64,
    /// Those that had been counted before.
    pub known: u64,
    /// Files that hold no receipt, or one that its device did not sign; they are left.
    pub refused: Vec<PathBuf>,
}

/// Takes the receipts that devices laid down in the folder `receipts` of `folder`, a stick's or a share's.
///
/// Once they are durable here they are noted in a list beside them, by which the devices let go of them,
/// and removed. Cut off before that, the same import is made again and counts nothing twice.
///
/// # Errors
/// [`CollectorError::Io`], [`CollectorError::Database`].
pub fn import(
    store: &mut dyn Store,
    folder: &Path,
    received: UtcTime,
) -> Result<Imported, CollectorError> {
    let folder = folder.join(FOLDER);
    let mut imported = Imported::default();
    let (mut receipts, mut files) = (Vec::new(), Vec::new());
    for path in files_of(&folder)? {
        let bytes = read(&path)?;
        match SignedReceipt::decode(&bytes) {
            Ok(receipt) => {
                receipts.push(receipt);
                files.push(path);
            }
            Err(_) => imported.refused.push(path),
        }
    }
    for batch in receipts.chunks(BATCH) {
        let stored = store.write(batch, received)?;
        imported.new += stored.new.total();
        imported.known += stored.known;
    }
    note(&folder.join(COLLECTED), &receipts)?;
    for path in files {
        fs::remove_file(&path).map_err(at(&path))?;
    }
    Ok(imported)
}

/// Returns the counts of receipts that lie in a folder, or in the folder `receipts` of it; nothing is
/// changed there.
///
/// # Errors
/// [`CollectorError::Io`].
pub fn tally_folder(folder: &Path, received: UtcTime) -> Result<Tally, CollectorError> {
    let inner = folder.join(FOLDER);
    let folder = if inner.is_dir() { &inner } else { folder };
    let mut receipts = Vec::new();
    for path in files_of(folder)? {
        receipts.extend(SignedReceipt::decode(&read(&path)?));
    }
    Ok(tally_of(receipts, received))
}

/// Adds receipts to the list, and lets the oldest lines go where it gets long.
fn note(list: &Path, receipts: &[SignedReceipt]) -> Result<(), CollectorError> {
    if receipts.is_empty() {
        return Ok(());
    }
    let old = match fs::read_to_string(list) {
        Ok(old) => old,
        Err(absent) if absent.kind() == io::ErrorKind::NotFound => String::new(),
        Err(source) => return Err(at(list)(source)),
    };
    let mut names: Vec<String> = old.lines().map(str::to_owned).collect();
    names.extend(receipts.iter().map(SignedReceipt::name));
    let surplus = names.len().saturating_sub(LINES);
    let kept = names.get(surplus..).unwrap_or_default();
    let aside = list.with_extension("txt.new");
    let file = fs::File::create(&aside).map_err(at(&aside))?;
    let mut text = kept.join("\n");
    text.push('\n');
    io::Write::write_all(&mut &file, text.as_bytes()).map_err(at(&aside))?;
    file.sync_all().map_err(at(&aside))?;
    drop(file);
    fs::rename(&aside, list).map_err(at(list))
}

fn files_of(folder: &Path) -> Result<Vec<PathBuf>, CollectorError> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(at(folder))? {
        let path = entry.map_err(at(folder))?.path();
        if path.extension() == Some(SignedReceipt::EXTENSION.as_ref()) && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn read(path: &Path) -> Result<Vec<u8>, CollectorError> {
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(at(path))?;
    let mut file = io::Read::take(file, Receipt::MAX_BYTES + 1);
    io::Read::read_to_end(&mut file, &mut bytes).map_err(at(path))?;
    Ok(bytes)
}

fn at(path: &Path) -> impl Fn(io::Error) -> CollectorError {
    move |source| CollectorError::Io {
        path: path.to_owned(),
        source,
    }
}

/// As devices name them.
const FOLDER: &str = "receipts";
const COLLECTED: &str = "collected.txt";
const BATCH: usize = 10_000;
/// Lines of the list: 5 MB.
const LINES: usize = 100_000;
