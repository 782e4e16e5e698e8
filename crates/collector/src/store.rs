//! Where receipts are kept, and counted in the same transaction.

#[cfg(feature = "postgres")]
pub(crate) mod postgres;
pub(crate) mod sqlite;

use release_format::{DeviceKeyId, PackName, SignedReceipt, UtcTime};

use crate::error::CollectorError;
use crate::tally::{Tally, TallyKey};

/// Keeps receipts, each once.
pub trait Store: Send {
    /// Writes receipts and their counts in one transaction, and returns when that is durable.
    ///
    /// # Errors
    /// [`CollectorError::Database`]: none of them is written.
    fn write(
        &mut self,
        receipts: &[SignedReceipt],
        received: UtcTime,
    ) -> Result<Stored, CollectorError>;

    /// Returns the devices whose receipts are here.
    ///
    /// # Errors
    /// [`CollectorError::Database`].
    fn devices(&mut self) -> Result<Vec<DeviceKeyId>, CollectorError>;

    /// Returns the counts; of one pack where one is named, since a moment where one is given.
    ///
    /// # Errors
    /// [`CollectorError::Database`].
    fn tally(
        &mut self,
        pack: Option<&PackName>,
        since: Option<UtcTime>,
    ) -> Result<Tally, CollectorError>;

    /// Returns how many receipts are kept: that of the counts, where nothing is wrong.
    ///
    /// # Errors
    /// [`CollectorError::Database`].
    fn receipts(&mut self) -> Result<u64, CollectorError>;
}

/// What a write made of receipts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stored {
    /// What was new, by what it counts as.
    pub new: Tally,
    /// How many were there already.
    pub known: u64,
}

/// The columns of a kind of receipt, as both databases have them.
pub(crate) struct Row {
    pub(crate) pack: String,
    pub(crate) channel: String,
    pub(crate) release: Vec<u8>,
    pub(crate) label: String,
    pub(crate) outcome: String,
    pub(crate) hours: i64,
    pub(crate) minute: i64,
    pub(crate) count: i64,
}

impl Row {
    /// Returns what the row counts, or what is wrong with it.
    pub(crate) fn read(self) -> Result<(TallyKey, u64), String> {
        let told = |error: &dyn std::fmt::Display| error.to_string();
        let release = <[u8; 32]>::try_from(self.release).map_err(|_| "a digest of 32 bytes")?;
        let outcome = release_format::ReceiptOutcome::named(&self.outcome);
        let key = TallyKey {
            pack: PackName::parse(&self.pack).map_err(|error| told(&error))?,
            channel: release_format::ChannelName::parse(&self.channel)
                .map_err(|error| told(&error))?,
            release: diff_core::Digest::from_bytes(release),
            label: release_format::Label::parse(&self.label).map_err(|error| told(&error))?,
            outcome: outcome.ok_or_else(|| format!("no outcome {:?}", self.outcome))?,
            hours: u32::try_from(self.hours).map_err(|error| told(&error))?,
            minute: self.minute,
        };
        let count = u64::try_from(self.count).map_err(|error| told(&error))?;
        Ok((key, count))
    }
}

/// Returns what the rows of the database called `name` count.
pub(crate) fn tally_of_rows(
    rows: impl IntoIterator<Item = Row>,
    name: &str,
) -> Result<Tally, CollectorError> {
    let mut tally = Tally::default();
    for row in rows {
        let (key, count) = row.read().map_err(|reason| CollectorError::Database {
            database: name.to_owned(),
            reason,
        })?;
        tally.add_many(key, count);
    }
    Ok(tally)
}
