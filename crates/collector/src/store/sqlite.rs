use std::path::Path;

use release_format::{DeviceKeyId, PackName, SignedReceipt, UtcTime};
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use super::{Row, Store, Stored, tally_of_rows};
use crate::error::CollectorError;
use crate::tally::Tally;

/// Receipts in one SQLite file: what a school district needs, and nothing to install.
///
/// Written ahead and synced at every commit: what was acknowledged outlives a power cut. Gates read it
/// while it is written.
pub struct SqliteStore {
    connection: Connection,
    name: String,
}

impl SqliteStore {
    /// Opens the database, and makes it where there is none.
    ///
    /// # Errors
    /// [`CollectorError::Database`], [`CollectorError::NewerDatabase`].
    pub fn open(path: &Path) -> Result<SqliteStore, CollectorError> {
        let name = path.display().to_string();
        let opened = Connection::open(path).and_then(|connection| {
            connection.busy_timeout(BUSY)?;
            connection.pragma_update(None, "journal_mode", "wal")?;
            connection.pragma_update(None, "synchronous", "full")?;
            connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
            connection.set_prepared_statement_cache_capacity(32);
            Ok(connection)
        });
        let connection = opened.map_err(|error| failed(&name, &error))?;
        let mut store = SqliteStore { connection, name };
        store.migrate()?;
        Ok(store)
    }

    /// Opens the database to be read alone; it has to be there.
    ///
    /// # Errors
    /// [`CollectorError::Database`], [`CollectorError::NewerDatabase`].
    pub fn open_to_read(path: &Path) -> Result<SqliteStore, CollectorError> {
        let name = path.display().to_string();
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let opened = Connection::open_with_flags(path, flags).and_then(|connection| {
            connection.busy_timeout(BUSY)?;
            Ok(connection)
        });
        let connection = opened.map_err(|error| failed(&name, &error))?;
        let store = SqliteStore { connection, name };
        match store.version()? {
            VERSION => Ok(store),
            found if found > VERSION => Err(store.newer(found)),
            _ => Err(CollectorError::Database {
                database: store.name,
                reason: "it is no database of receipts".to_owned(),
            }),
        }
    }

    fn migrate(&mut self) -> Result<(), CollectorError> {
        match self.version()? {
            VERSION => Ok(()),
            0 => self.attempt(|connection| {
                let transaction = connection.transaction()?;
                transaction.execute_batch(SCHEMA)?;
                transaction.pragma_update(None, "user_version", VERSION)?;
                transaction.commit()
            }),
            found => Err(self.newer(found)),
        }
    }

    fn version(&self) -> Result<i64, CollectorError> {
        self.connection
            .query_row("PRAGMA user_version", [], |row| row.get(0))
            .map_err(|error| failed(&self.name, &error))
    }

    fn newer(&self, found: i64) -> CollectorError {
        CollectorError::NewerDatabase {
            database: self.name.clone(),
            found,
            supported: VERSION,
        }
    }

    fn attempt<T>(
        &mut self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> Result<T, CollectorError> {
        work(&mut self.connection).map_err(|error| failed(&self.name, &error))
    }
}

impl Store for SqliteStore {
    fn write(
        &mut self,
        receipts: &[SignedReceipt],
        received: UtcTime,
    ) -> Result<Stored, CollectorError> {
        self.attempt(|connection| {
            let mut stored = Stored::default();
            let transaction = connection.transaction()?;
            {
                let mut find_device = transaction.prepare_cached(FIND_DEVICE)?;
                let mut add_device = transaction.prepare_cached(ADD_DEVICE)?;
                let mut add = transaction.prepare_cached(ADD_RECEIPT)?;
                let mut count = transaction.prepare_cached(COUNT)?;
                for signed in receipts {
                    let receipt = signed.receipt();
                    let key = receipt.device.as_bytes();
                    let known = find_device.query_row([key], |row| row.get(0)).optional()?;
                    let device: i64 = match known {
                        Some(device) => device,
                        None => add_device.insert(params![key, received.seconds()])?,
                    };
                    let added = add.execute(params![
                        device,
                        receipt.id.as_bytes(),
                        received.seconds(),
                        signed.encode()
                    ])?;
                    if added == 1 {
                        stored.new.add(receipt, received);
                    } else {
                        stored.known += 1;
                    }
                }
                for (key, new) in stored.new.iter() {
                    count.execute(params![
                        key.pack.as_str(),
                        key.channel.as_str(),
                        key.release.as_bytes(),
                        key.label.as_str(),
                        key.minute,
                        key.outcome.name(),
                        key.hours,
                        i64::try_from(new).unwrap_or(i64::MAX)
                    ])?;
                }
            }
            transaction.commit()?;
            Ok(stored)
        })
    }

    fn devices(&mut self) -> Result<Vec<DeviceKeyId>, CollectorError> {
        self.attempt(|connection| {
            let mut all = connection.prepare("SELECT key FROM device")?;
            let keys = all.query_map([], |row| row.get::<_, [u8; DeviceKeyId::LENGTH]>(0))?;
            keys.map(|key| key.map(DeviceKeyId::from_bytes)).collect()
        })
    }

    fn tally(
        &mut self,
        pack: Option<&PackName>,
        since: Option<UtcTime>,
    ) -> Result<Tally, CollectorError> {
        let since = since.map_or(i64::MIN, |since| since.seconds().div_euclid(60));
        let pack = pack.map(PackName::as_str);
        let rows = self.attempt(|connection| {
            let mut all = connection.prepare_cached(TALLY)?;
            let rows = all.query_map(params![pack, since], |row| {
                Ok(Row {
                    pack: row.get(0)?,
                    channel: row.get(1)?,
                    release: row.get(2)?,
                    label: row.get(3)?,
                    minute: row.get(4)?,
                    outcome: row.get(5)?,
                    hours: row.get(6)?,
                    count: row.get(7)?,
                })
            })?;
            rows.collect::<rusqlite::Result<Vec<Row>>>()
        })?;
        tally_of_rows(rows, &self.name)
    }

    fn receipts(&mut self) -> Result<u64, CollectorError> {
        let count: i64 = self.attempt(|connection| {
            connection.query_row("SELECT count(*) FROM receipt", [], |row| row.get(0))
        })?;
        Ok(u64::try_from(count).unwrap_or(0))
    }
}

fn failed(name: &str, error: &rusqlite::Error) -> CollectorError {
    CollectorError::Database {
        database: name.to_owned(),
        reason: error.to_string(),
    }
}

const VERSION: i64 = 1;
const SCHEMA: &str = "
    CREATE TABLE device (
        number INTEGER PRIMARY KEY,
        key BLOB NOT NULL UNIQUE,
        first_seen INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE receipt (
        device INTEGER NOT NULL REFERENCES device,
        id BLOB NOT NULL,
        received INTEGER NOT NULL,
        document BLOB NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX receipt_once ON receipt (device, id);
    CREATE TABLE tally (
        pack TEXT NOT NULL,
        channel TEXT NOT NULL,
        release BLOB NOT NULL,
        label TEXT NOT NULL,
        minute INTEGER NOT NULL,
        outcome TEXT NOT NULL,
        hours INTEGER NOT NULL,
        receipts INTEGER NOT NULL,
        PRIMARY KEY (pack, channel, release, minute, outcome, hours, label)
    ) STRICT, WITHOUT ROWID;
";
const FIND_DEVICE: &str = "SELECT number FROM device WHERE key = ?1";
const ADD_DEVICE: &str = "INSERT INTO device (key, first_seen) VALUES (?1, ?2)";
const ADD_RECEIPT: &str = "INSERT INTO receipt (device, id, received, document)
    VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING";
const COUNT: &str = "INSERT INTO tally
    (pack, channel, release, label, minute, outcome, hours, receipts)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
    ON CONFLICT DO UPDATE SET receipts = receipts + excluded.receipts";
const TALLY: &str = "SELECT pack, channel, release, label, minute, outcome, hours, receipts
    FROM tally WHERE (?1 IS NULL OR pack = ?1) AND minute >= ?2";
const BUSY: std::time::Duration = std::time::Duration::from_secs(10);
const CACHE_KIB: i64 = 64 << 10;
