use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use release_format::{Receipted, SignedReceipt};

use super::Courier;
use crate::UpdateError;
use crate::library::disk::{Disk, RealDisk};

/// Lays receipts down in a folder, on a stick or a share, from which somebody collects them.
///
/// A stick gets lost. So a receipt that was laid down stays in the outbox until whoever collected it
/// said so, in a list beside the receipts that comes back with the stick.
pub struct FolderCourier {
    folder: PathBuf,
    disk: Arc<dyn Disk>,
}

impl FolderCourier {
    /// The name of the folder of receipts.
    pub const FOLDER: &'static str = "receipts";
    /// The name of the list of receipts that were collected, by their names, one a line.
    pub const COLLECTED: &'static str = "collected.txt";
    /// Bytes of such a list that are read.
    pub const MAX_LIST_BYTES: u64 = 16 << 20;

    /// Returns the courier to the folder `receipts` in `folder`.
    pub fn new(folder: impl Into<PathBuf>) -> FolderCourier {
        FolderCourier {
            folder: folder.into(),
            disk: Arc::new(RealDisk::new()),
        }
    }

    /// Writes through `disk`: for tests that cut the power.
    pub fn disk(mut self, disk: Arc<dyn Disk>) -> FolderCourier {
        self.disk = disk;
        self
    }
}

impl Courier for FolderCourier {
    fn carry(&self, receipts: &[SignedReceipt]) -> Result<Receipted, UpdateError> {
        let folder = self.folder.join(FolderCourier::FOLDER);
        self.disk.create_dirs(&self.folder, &folder)?;
        let list = folder.join(FolderCourier::COLLECTED);
        let list = self.disk.read(&list, FolderCourier::MAX_LIST_BYTES)?;
        let list = String::from_utf8(list.unwrap_or_default()).unwrap_or_default();
        let collected: BTreeSet<&str> = list.lines().collect();
        let mut answer = Receipted::new();
        for receipt in receipts {
            let name = receipt.name();
            if collected.contains(name.as_str()) {
                answer.accepted.push(name);
                continue;
            }
            let path = folder.join(receipt.file_name());
            if self.disk.length(&path)?.is_none() {
                let aside = self.disk.write_aside(&path, &receipt.encode())?;
                self.disk.replace(&aside, &path)?;
            }
        }
        self.disk.sync_dir(&folder)?;
        Ok(answer)
    }

    fn address(&self) -> String {
        self.folder.display().to_string()
    }
}
