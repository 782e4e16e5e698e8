//! Which device a library belongs to, and where it gets its packs.

use release_format::{ChannelName, DeviceId, DeviceLabels};
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
    labels: DeviceLabels,
    channel: Option<ChannelName>,
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
                labels: DeviceLabels::default(),
                channel: None,
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

    /// Returns what the device says of itself, for rollouts to choose by.
    pub fn labels(&self) -> &DeviceLabels {
        &self.labels
    }

    /// Returns the channel that the device follows, where it is not `stable`.
    pub fn channel(&self) -> Option<&ChannelName> {
        self.channel.as_ref()
    }

    /// Returns the record of a device that says this of itself.
    #[must_use]
    pub fn with_labels(mut self, labels: DeviceLabels) -> LibraryRecord {
        self.labels = labels;
        self
    }

    /// Returns the record of a device that follows `channel`.
    #[must_use]
    pub fn with_channel(mut self, channel: ChannelName) -> LibraryRecord {
        self.channel = Some(channel).filter(|channel| *channel != ChannelName::default());
        self
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
        let is_plain = self.labels.is_empty() && self.channel.is_none();
        let document = Document {
            format: if is_plain { PLAIN_FORMAT } else { FORMAT },
            device: self.device,
            repositories: self.repositories.clone(),
            labels: self.labels.clone(),
            channel: self.channel.clone(),
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
        let record = LibraryRecord {
            labels: document.labels,
            channel: document.channel,
            ..LibraryRecord::new(document.device, document.repositories)?
        };
        let is_plain = record.labels.is_empty() && record.channel.is_none();
        if document.format == PLAIN_FORMAT && !is_plain {
            return Err(RecordError::damaged(
                "labels and a channel in format 2 alone",
                "them in format 1",
            ));
        }
        Ok(record)
    }
}

/// The newest version of the format.
const FORMAT: u64 = 2;
/// The version without labels and channel; written wherever there are none.
const PLAIN_FORMAT: u64 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: u64,
    device: DeviceId,
    repositories: Vec<String>,
    #[serde(default, skip_serializing_if = "DeviceLabels::is_empty")]
    labels: DeviceLabels,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    channel: Option<ChannelName>,
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
    fn labels_and_channel_are_kept_in_the_second_format_and_only_there() {
        let record = LibraryRecord::enroll(vec!["/media/stick".to_owned()]).unwrap();
        let text = |record: &LibraryRecord| String::from_utf8(record.encode()).unwrap();
        assert!(text(&record).contains("\"format\": 1"));
        let stable = record.clone().with_channel(ChannelName::default());
        assert_eq!(stable, record);
        let mut labels = DeviceLabels::default();
        labels.set("ring", "pilot").unwrap();
        let beta = ChannelName::parse("beta").unwrap();
        for labelled in [
            record.clone().with_labels(labels.clone()),
            record.clone().with_channel(beta.clone()),
            record.with_labels(labels).with_channel(beta),
        ] {
            assert!(text(&labelled).contains("\"format\": 2"));
            assert_eq!(LibraryRecord::decode(&labelled.encode()), Ok(labelled));
        }
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
        let newer = "{\"format\": 3, \"moods\": []}";
        let expected = RecordError::NewerFormat {
            found: 3,
            supported: 2,
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
            format!(
                "{{\"format\": 1, \"device\": \"{device}\", \"repositories\": [], \"channel\": \"beta\"}}"
            ),
            format!(
                "{{\"format\": 2, \"device\": \"{device}\", \"repositories\": [], \"labels\": {{\"Ring\": \"x\"}}}}"
            ),
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
