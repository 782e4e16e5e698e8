//! Receipts that wait to leave: the device's own, and those that neighbours handed on.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use release_format::{DeviceKey, DeviceKeyId, Receipt, SignedReceipt};

use super::disk::{Disk, DiskError, EntryKind, parent_of};
use super::layout::LibraryLayout;
use super::state::{Ended, StateRecord};
use crate::error::UpdateError;

/// The folder of receipts, one file each, named by device and trial: the same receipt written twice is
/// one file.
#[derive(Clone, Copy)]
pub struct Outbox<'a> {
    disk: &'a dyn Disk,
    layout: &'a LibraryLayout,
}

/// A receipt that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The receipt.
    pub receipt: SignedReceipt,
    /// Where it lies.
    pub path: PathBuf,
    /// Bytes of the file.
    pub bytes: u64,
}

impl<'a> Outbox<'a> {
    /// Receipts of its own that a device keeps at most; the oldest go first.
    pub const MAX_OWN: usize = 1_000;
    /// Receipts of neighbours that a device keeps at most; it takes no more until some have left.
    pub const MAX_OTHERS: usize = 5_000;
    /// Bytes of receipts that a device keeps at most of its own, and as many of its neighbours'.
    pub const MAX_BYTES: u64 = 4 << 20;

    /// Returns the outbox of a library.
    pub fn new(disk: &'a dyn Disk, layout: &'a LibraryLayout) -> Outbox<'a> {
        Outbox { disk, layout }
    }

    /// Writes a receipt for every trial that `record` tells of, durably, unless it lies there.
    ///
    /// # Errors
    /// [`UpdateError::DiskFull`], [`UpdateError::Disk`]: some may lie there.
    pub(crate) fn queue(&self, key: &DeviceKey, record: &StateRecord) -> Result<(), UpdateError> {
        let folder = self.layout.outbox();
        let mut is_changed = false;
        for ended in record.ended() {
            let receipt = receipt(key.id(), record, ended);
            is_changed |= self.place(&folder, &key.sign(receipt)?)?;
        }
        if !record.ended().is_empty() {
            self.disk.sync_dir(&folder)?;
        }
        if is_changed {
            self.bound()?;
        }
        Ok(())
    }

    /// Keeps receipts that a neighbour hands on, durably; returns those that are kept.
    ///
    /// # Errors
    /// [`UpdateError::DiskFull`], [`UpdateError::Disk`]: none may then be acknowledged.
    pub(crate) fn take(
        &self,
        receipts: Vec<SignedReceipt>,
    ) -> Result<Vec<SignedReceipt>, UpdateError> {
        let folder = self.layout.outbox_of_others();
        self.disk.create_dirs(self.layout.root(), &folder)?;
        let waiting = self.names(&folder)?;
        let mut room = Outbox::MAX_OTHERS.saturating_sub(waiting.len());
        let mut bytes = 0;
        for name in &waiting {
            let length = self.disk.length(&folder.join(name))?;
            bytes += length.unwrap_or(0);
        }
        let mut kept = Vec::new();
        for receipt in receipts {
            if !waiting.contains(&receipt.file_name()) {
                let length = receipt.encode().len() as u64;
                if room == 0 || bytes + length > Outbox::MAX_BYTES {
                    break;
                }
                (room, bytes) = (room - 1, bytes + length);
                self.place(&folder, &receipt)?;
            }
            kept.push(receipt);
        }
        self.disk.sync_dir(&folder)?;
        Ok(kept)
    }

    /// Returns all receipts that wait, the device's own first, the oldest first of each.
    ///
    /// A file that holds no receipt is passed over: it was not put there by Satchel, or is damaged.
    ///
    /// # Errors
    /// [`DiskError`] when the folder cannot be listed.
    pub fn waiting(&self) -> Result<Vec<Waiting>, DiskError> {
        let mut all = self.read(&self.layout.outbox())?;
        all.append(&mut self.read(&self.layout.outbox_of_others())?);
        Ok(all)
    }

    /// Removes receipts that have arrived, or never will.
    ///
    /// # Errors
    /// [`DiskError`]: some may be left, and are sent again.
    pub(crate) fn remove(&self, gone: &[&Waiting]) -> Result<(), DiskError> {
        let mut folders = BTreeSet::new();
        for waiting in gone {
            self.disk.remove_file(&waiting.path)?;
            folders.insert(parent_of(&waiting.path));
        }
        for folder in folders {
            self.disk.sync_dir(folder)?;
        }
        Ok(())
    }

    /// Writes one receipt unless it lies there; durable once the folder is synced.
    fn place(&self, folder: &Path, receipt: &SignedReceipt) -> Result<bool, DiskError> {
        let path = folder.join(receipt.file_name());
        let bytes = receipt.encode();
        if self.disk.read(&path, Receipt::MAX_BYTES)?.as_deref() == Some(&bytes) {
            return Ok(false);
        }
        let aside = self.disk.write_aside(&path, &bytes)?;
        self.disk.replace(&aside, &path)?;
        Ok(true)
    }

    /// Lets the oldest of the device's own receipts go where there are too many.
    fn bound(&self) -> Result<(), DiskError> {
        if self.names(&self.layout.outbox())?.len() <= Outbox::FEW {
            return Ok(());
        }
        let own = self.read(&self.layout.outbox())?;
        let mut bytes: u64 = own.iter().map(|waiting| waiting.bytes).sum();
        let mut count = own.len();
        let mut gone = Vec::new();
        for waiting in &own {
            if count <= Outbox::MAX_OWN && bytes <= Outbox::MAX_BYTES {
                break;
            }
            (count, bytes) = (count - 1, bytes - waiting.bytes);
            gone.push(waiting);
        }
        self.remove(&gone)
    }

    fn names(&self, folder: &Path) -> Result<BTreeSet<String>, DiskError> {
        let entries = self.disk.list(folder)?.into_iter();
        let files = entries.filter(|entry| entry.kind == EntryKind::File);
        Ok(files
            .filter_map(|entry| entry.name.into_string().ok())
            .filter(|name| Path::new(name).extension() == Some(SignedReceipt::EXTENSION.as_ref()))
            .collect())
    }

    fn read(&self, folder: &Path) -> Result<Vec<Waiting>, DiskError> {
        let mut all = Vec::new();
        for name in self.names(folder)? {
            let path = folder.join(name);
            let bytes = self.disk.read(&path, Receipt::MAX_BYTES + 1)?;
            let bytes = bytes.unwrap_or_default();
            if let Ok(receipt) = SignedReceipt::decode(&bytes) {
                let bytes = bytes.len() as u64;
                all.push(Waiting {
                    receipt,
                    path,
                    bytes,
                });
            }
        }
        all.sort_by_key(|waiting| waiting.receipt.receipt().time);
        Ok(all)
    }

    /// So few that their bytes are within what is kept, whatever they are.
    const FEW: usize = (Outbox::MAX_BYTES / Receipt::MAX_BYTES) as usize - 25;
}

/// Returns what a device tells of a trial: the same for the same trial, however often it is asked.
fn receipt(device: DeviceKeyId, record: &StateRecord, ended: &Ended) -> Receipt {
    Receipt {
        id: ended.began.trial,
        device,
        pack: record.pack().clone(),
        release: ended.release,
        label: ended.label.clone(),
        channel: ended.began.channel.clone(),
        outcome: ended.outcome,
        reason: ended.reason.clone(),
        route: ended.began.route,
        fetched_bytes: ended.began.fetched_bytes,
        update_seconds: ended.began.update_seconds,
        trial_seconds: ended.trial_seconds(),
        time: ended.at,
        clock_believed: ended.clock_believed,
        client: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use diff_core::Digest;
    use release_format::{
        ChannelName, Label, PackName, ReceiptId, ReceiptOutcome, ReceiptRoute, UtcTime,
    };

    use super::super::disk::RealDisk;
    use super::super::state::Began;
    use super::*;

    fn signed(key: &DeviceKey, number: u32) -> SignedReceipt {
        let mut id = [0; ReceiptId::LENGTH];
        id[..4].copy_from_slice(&number.to_be_bytes());
        let ended = Ended {
            began: Began {
                trial: ReceiptId::from_bytes(id),
                at: UtcTime::from_seconds(0),
                channel: ChannelName::default(),
                route: ReceiptRoute::Full,
                fetched_bytes: 1,
                update_seconds: 1,
            },
            release: Digest::of(b"release"),
            label: Label::parse("1.0").unwrap(),
            outcome: ReceiptOutcome::Confirmed,
            reason: None,
            // The higher the number, the older.
            at: UtcTime::from_seconds(1_000_000 - i64::from(number)),
            clock_believed: true,
        };
        let record = StateRecord::empty(PackName::parse("acme/biology-101").unwrap());
        key.sign(receipt(key.id(), &record, &ended)).unwrap()
    }

    #[test]
    fn receipts_of_neighbours_are_kept_once_and_within_bounds() {
        let temporary = tempfile::tempdir().unwrap();
        let (disk, layout) = (RealDisk::new(), LibraryLayout::new(temporary.path()));
        let outbox = Outbox::new(&disk, &layout);
        let key = DeviceKey::from_seed(&[1; 32]);
        let some: Vec<_> = (0..5).map(|number| signed(&key, number)).collect();
        assert_eq!(outbox.take(some.clone()).unwrap(), some);
        assert_eq!(outbox.take(some.clone()).unwrap(), some);
        let waiting = outbox.waiting().unwrap();
        assert_eq!(waiting.len(), 5);
        assert_eq!(waiting[0].receipt, some[4], "the oldest goes first");
        outbox.remove(&[&waiting[0]]).unwrap();
        assert_eq!(outbox.waiting().unwrap().len(), 4);
        let many: Vec<_> = (5..6_000).map(|number| signed(&key, number)).collect();
        let kept = outbox.take(many).unwrap();
        let names = outbox.names(&layout.outbox_of_others()).unwrap();
        assert_eq!(names.len(), 4 + kept.len());
        assert!(names.len() <= Outbox::MAX_OTHERS && names.len() > 4_000);
        assert_eq!(outbox.take(vec![signed(&key, 7_000)]).unwrap(), []);
    }

    #[test]
    fn the_oldest_of_its_own_give_way() {
        let temporary = tempfile::tempdir().unwrap();
        let (disk, layout) = (RealDisk::new(), LibraryLayout::new(temporary.path()));
        disk.create_dir(&layout.outbox()).unwrap();
        let outbox = Outbox::new(&disk, &layout);
        let key = DeviceKey::from_seed(&[1; 32]);
        let all = u32::try_from(Outbox::MAX_OWN).unwrap() + 3;
        for number in 0..all {
            std::fs::write(
                layout.outbox().join(signed(&key, number).file_name()),
                signed(&key, number).encode(),
            )
            .unwrap();
        }
        outbox.bound().unwrap();
        let waiting = outbox.waiting().unwrap();
        assert_eq!(waiting.len(), Outbox::MAX_OWN);
        assert_eq!(waiting[0].receipt, signed(&key, all - 4));
    }

    #[test]
    fn what_is_no_receipt_is_passed_over() {
        let temporary = tempfile::tempdir().unwrap();
        let (disk, layout) = (RealDisk::new(), LibraryLayout::new(temporary.path()));
        disk.create_dir(&layout.outbox()).unwrap();
        std::fs::write(layout.outbox().join("1-2.receipt"), "{}").unwrap();
        std::fs::write(layout.outbox().join("desktop.ini"), "").unwrap();
        assert_eq!(Outbox::new(&disk, &layout).waiting().unwrap(), []);
    }
}
