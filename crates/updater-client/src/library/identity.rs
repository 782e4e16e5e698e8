//! Which device a library belongs to, and where it gets its packs.

use release_format::DeviceId;
use serde::{Deserialize, Serialize};

use super::disk::{Disk, DiskError, Operation};
use super::layout::LibraryLayout;
use super::record::{self, RecordError};
use crate::error::UpdateError;

/// The record of the library itself, `library.json`: a folder that has one is a library.
///
/// It is plain JSON without a digest, so that whoever looks after the device can give it another
/// address. Its form is described beside the [state record](crate::library::state::StateRecord).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LibraryRecord {
    device: DeviceId,
    repositories: Vec<String>,
}

impl LibraryRecord {
    /// Repository addresses that a library may have.
    pub const MAX_REPOSITORIES: usize = 16;
    /// Bytes of one address.
    pub const MAX_ADDRESS_BYTES: usize = 4096;
    /// Bytes of a record: stops a damaged file from filling the memory.
    pub const MAX_BYTES: u64 = 1 << 20;

    /// Returns the record of a new library, under a device id that nobody else has.
    ///
    /// The addresses, URLs or folders, are tried in their order.
    ///
    /// # Errors
    /// [`UpdateError::WrongAddress`] for addresses that are empty, too long or too many;
    /// [`UpdateError::Disk`] when the system yields no random numbers.
    pub fn enroll(repositories: Vec<String>) -> Result<LibraryRecord, UpdateError> {
        let mut bytes = [0; DeviceId::LENGTH];
        getrandom::fill(&mut bytes).map_err(|failed| {
            let source = std::io::Error::other(failed.to_string());
            DiskError::new(Operation::Read, "the system's random numbers", source)
        })?;
        LibraryRecord::new(DeviceId::from_bytes(bytes), repositories).map_err(|refused| {
            UpdateError::WrongAddress {
                refused: refused.to_string(),
            }
        })
    }

    /// Returns the record of a device and the addresses of its repositories.
    ///
    /// # Errors
    /// [`RecordError::Damaged`] for addresses that are empty, too long or too many.
    pub fn new(device: DeviceId, repositories: Vec<String>) -> Result<LibraryRecord, RecordError> {
        let count = repositories.len();
        if count > LibraryRecord::MAX_REPOSITORIES {
            let expected = format!("at most {} addresses", LibraryRecord::MAX_REPOSITORIES);
            return Err(RecordError::damaged(expected, count));
        }
        let fits = |address: &&String| {
            !address.is_empty() && address.len() <= LibraryRecord::MAX_ADDRESS_BYTES
        };
        match repositories.iter().find(|address| !fits(address)) {
            Some(address) => Err(RecordError::damaged(
                format!(
                    "an address of 1 to {} bytes",
                    LibraryRecord::MAX_ADDRESS_BYTES
                ),
                format!("one of {}", address.len()),
            )),
            None => Ok(LibraryRecord {
                device,
                repositories,
            }),
        }
    }

    /// Returns which device this is: random, and told to nobody but by its rollout bucket.
    pub fn device(&self) -> &DeviceId {
        &self.device
    }

    /// Returns where packs are had from: URLs or folders, in the order in which they are tried.
    pub fn repositories(&self) -> &[String] {
        &self.repositories
    }

    /// Returns the record of the library at `layout`.
    ///
    /// # Errors
    /// [`UpdateError::NotALibrary`] where there is none, [`UpdateError::NewerFormat`],
    /// [`UpdateError::Damaged`], [`UpdateError::Disk`].
    pub fn load(disk: &dyn Disk, layout: &LibraryLayout) -> Result<LibraryRecord, UpdateError> {
        let path = layout.library_record();
        match disk.read(&path, LibraryRecord::MAX_BYTES + 1)? {
            Some(bytes) => LibraryRecord::decode(&bytes).map_err(|error| error.at(&path)),
            None => Err(UpdateError::NotALibrary {
                at: layout.root().to_owned(),
            }),
        }
    }

    /// Writes the record durably; the folder is a library from then on.
    ///
    /// # Errors
    /// [`UpdateError::DiskFull`], [`UpdateError::Disk`].
    pub fn store(&self, disk: &dyn Disk, layout: &LibraryLayout) -> Result<(), UpdateError> {
        Ok(disk.write_durably(&layout.library_record(), &self.encode())?)
    }

    /// Returns the bytes of the record's file.
    pub fn encode(&self) -> Vec<u8> {
        let document = Document {
            format: FORMAT,
            device: self.device,
            repositories: self.repositories.clone(),
        };
        record::write_json(&document).into_bytes()
    }

    /// Returns the record whose file has these bytes.
    ///
    /// # Errors
    /// [`RecordError::NewerFormat`] for what a newer Satchel wrote, [`RecordError::Damaged`] for what
    /// none wrote.
    pub fn decode(bytes: &[u8]) -> Result<LibraryRecord, RecordError> {
        if bytes.len() as u64 > LibraryRecord::MAX_BYTES {
            let expected = format!("at most {} bytes", LibraryRecord::MAX_BYTES);
            return Err(RecordError::damaged(expected, "more"));
        }
        let document: Document = record::read_json(bytes, FORMAT)?;
        LibraryRecord::new(document.device, document.repositories)
    }
}

/// The version of the format that is written and read.
const FORMAT: u64 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: u64,
    device: DeviceId,
    repositories: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::super::disk::RealDisk;
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_stored_and_two_devices_differ() {
        let temporary = tempfile::tempdir().unwrap();
        let (disk, layout) = (RealDisk::new(), LibraryLayout::new(temporary.path()));
        let addresses = vec![
            "https://packs.example/".to_owned(),
            "/media/stick".to_owned(),
        ];
        let record = LibraryRecord::enroll(addresses.clone()).unwrap();
        record.store(&disk, &layout).unwrap();
        assert_eq!(LibraryRecord::load(&disk, &layout).unwrap(), record);
        let other = LibraryRecord::enroll(addresses).unwrap();
        assert_ne!(other.device(), record.device());
    }

    #[test]
    fn a_folder_without_a_record_is_no_library() {
        let temporary = tempfile::tempdir().unwrap();
        let layout = LibraryLayout::new(temporary.path());
        let failed = LibraryRecord::load(&RealDisk::new(), &layout);
        assert!(matches!(failed, Err(UpdateError::NotALibrary { at }) if at == layout.root()));
    }

    #[test]
    fn newer_records_and_broken_ones_are_told_apart() {
        let device = "00112233445566778899aabbccddeeff";
        let newer = "{\"format\": 2, \"moods\": []}";
        let expected = RecordError::NewerFormat {
            found: 2,
            supported: 1,
        };
        assert_eq!(LibraryRecord::decode(newer.as_bytes()), Err(expected));
        for text in [
            String::new(),
            "{}".to_owned(),
            "{\"format\": 1}".to_owned(),
            format!("{{\"format\": 0, \"device\": \"{device}\", \"repositories\": []}}"),
            format!("{{\"format\": 1, \"device\": \"{device}\", \"repositories\": [\"\"]}}"),
            format!("{{\"format\": 1, \"device\": \"{device}\", \"repositories\": [], \"x\": 1}}"),
            format!("{{\"format\": 1, \"device\": \"{device}\", \"repositories\": []}}{{}}"),
            "{\"format\": 1, \"device\": \"0011\", \"repositories\": []}".to_owned(),
        ] {
            let read = LibraryRecord::decode(text.as_bytes());
            assert!(matches!(read, Err(RecordError::Damaged { .. })), "{text}");
        }
    }

    #[test]
    fn addresses_have_a_ceiling_in_number_and_length() {
        let device = DeviceId::from_bytes([7; DeviceId::LENGTH]);
        let many = vec!["https://packs.example/".to_owned(); 17];
        let long = vec!["x".repeat(LibraryRecord::MAX_ADDRESS_BYTES + 1)];
        for addresses in [many, long] {
            let refused = LibraryRecord::new(device, addresses);
            assert!(matches!(refused, Err(RecordError::Damaged { .. })));
        }
        let most = vec!["\u{1}".repeat(LibraryRecord::MAX_ADDRESS_BYTES); 16];
        let record = LibraryRecord::new(device, most).unwrap();
        assert_eq!(LibraryRecord::decode(&record.encode()), Ok(record));
    }
}
