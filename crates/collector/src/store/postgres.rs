use postgres::{Client, NoTls};
use release_format::{DeviceKeyId, PackName, SignedReceipt, UtcTime};

use super::{Row, Store, Stored, tally_of_rows};
use crate::error::CollectorError;
use crate::tally::Tally;

/// Receipts in PostgreSQL, for fleets whose database is looked after already.
///
/// The connection is not encrypted: the database stands on this machine, or behind a tunnel.
pub struct PostgresStore {
    client: Client,
    url: String,
    name: String,
}

impl PostgresStore {
    /// Connects to the database at `url`, `postgres://user@host/name`, and makes its tables where there
    /// are none.
    ///
    /// # Errors
    /// [`CollectorError::Database`], [`CollectorError::NewerDatabase`].
    pub fn connect(url: &str) -> Result<PostgresStore, CollectorError> {
        let name = without_login(url);
        let client = connect(url, &name)?;
        let mut store = PostgresStore {
            client,
            url: url.to_owned(),
            name,
        };
        store.migrate()?;
        Ok(store)
    }

    fn migrate(&mut self) -> Result<(), CollectorError> {
        let found = self.attempt(|client| {
            client.batch_execute(SCHEMA)?;
            client.query_one("SELECT max(version) FROM satchel_version", &[])
        })?;
        match found.get::<_, i64>(0) {
            VERSION => Ok(()),
            found => Err(CollectorError::NewerDatabase {
                database: self.name.clone(),
                found,
                supported: VERSION,
            }),
        }
    }

    /// Does `work`; on a connection that was lost, once more on a new one at the next call.
    fn attempt<T>(
        &mut self,
        work: impl FnOnce(&mut Client) -> Result<T, postgres::Error>,
    ) -> Result<T, CollectorError> {
        if self.client.is_closed() {
            self.client = connect(&self.url, &self.name)?;
        }
        work(&mut self.client).map_err(|error| failed(&self.name, &error))
    }
}

impl Store for PostgresStore {
    fn write(
        &mut self,
        receipts: &[SignedReceipt],
        received: UtcTime,
    ) -> Result<Stored, CollectorError> {
        let column = |of: fn(&SignedReceipt) -> Vec<u8>| -> Vec<Vec<u8>> {
            receipts.iter().map(of).collect()
        };
        let devices = column(|one| one.receipt().device.as_bytes().to_vec());
        let ids = column(|one| one.receipt().id.as_bytes().to_vec());
        let documents = column(SignedReceipt::encode);
        let seconds = received.seconds();
        self.attempt(|client| {
            let mut transaction = client.transaction()?;
            let added = transaction.query(ADD, &[&devices, &ids, &documents, &seconds])?;
            let mut new: std::collections::BTreeSet<(Vec<u8>, Vec<u8>)> =
                added.iter().map(|row| (row.get(0), row.get(1))).collect();
            let mut stored = Stored::default();
            for one in receipts {
                let receipt = one.receipt();
                let name = (
                    receipt.device.as_bytes().to_vec(),
                    receipt.id.as_bytes().to_vec(),
                );
                if new.remove(&name) {
                    stored.new.add(receipt, received);
                } else {
                    stored.known += 1;
                }
            }
            for (key, count) in stored.new.iter() {
                transaction.execute(
                    COUNT,
                    &[
                        &key.pack.as_str(),
                        &key.channel.as_str(),
                        &key.release.as_bytes().as_slice(),
                        &key.label.as_str(),
                        &key.minute,
                        &key.outcome.name(),
                        &i64::from(key.hours),
                        &i64::try_from(count).unwrap_or(i64::MAX),
                    ],
                )?;
            }
            transaction.commit()?;
            Ok(stored)
        })
    }

    fn devices(&mut self) -> Result<Vec<DeviceKeyId>, CollectorError> {
        let rows = self
            .attempt(|client| client.query("SELECT DISTINCT device FROM satchel_receipt", &[]))?;
        let keys = rows.iter().map(|row| row.get::<_, Vec<u8>>(0));
        let keys = keys.filter_map(|key| <[u8; DeviceKeyId::LENGTH]>::try_from(key).ok());
        Ok(keys.map(DeviceKeyId::from_bytes).collect())
    }

    fn tally(
        &mut self,
        pack: Option<&PackName>,
        since: Option<UtcTime>,
    ) -> Result<Tally, CollectorError> {
        let since = since.map_or(i64::MIN, |since| since.seconds().div_euclid(60));
        let pack = pack.map(PackName::as_str);
        let rows = self.attempt(|client| client.query(TALLY, &[&pack, &since]))?;
        let rows = rows.iter().map(|row| Row {
            pack: row.get(0),
            channel: row.get(1),
            release: row.get(2),
            label: row.get(3),
            minute: row.get(4),
            outcome: row.get(5),
            hours: row.get(6),
            count: row.get(7),
        });
        tally_of_rows(rows, &self.name)
    }

    fn receipts(&mut self) -> Result<u64, CollectorError> {
        let row =
            self.attempt(|client| client.query_one("SELECT count(*) FROM satchel_receipt", &[]))?;
        Ok(u64::try_from(row.get::<_, i64>(0)).unwrap_or(0))
    }
}

fn connect(url: &str, name: &str) -> Result<Client, CollectorError> {
    Client::connect(url, NoTls).map_err(|error| failed(name, &error))
}

fn failed(name: &str, error: &postgres::Error) -> CollectorError {
    // What the server said is the cause of what the client says.
    let cause =
        std::error::Error::source(error).map_or(String::new(), |cause| format!(": {cause}"));
    CollectorError::Database {
        database: name.to_owned(),
        reason: format!("{error}{cause}"),
    }
}

/// Returns an address without user and password.
fn without_login(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, place))) => format!("{scheme}://{place}"),
        _ => url.to_owned(),
    }
}

const VERSION: i64 = 1;
const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS satchel_version (version BIGINT NOT NULL);
    INSERT INTO satchel_version SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM satchel_version);
    CREATE TABLE IF NOT EXISTS satchel_receipt (
        device BYTEA NOT NULL,
        id BYTEA NOT NULL,
        received BIGINT NOT NULL,
        document BYTEA NOT NULL,
        PRIMARY KEY (device, id)
    );
    CREATE TABLE IF NOT EXISTS satchel_tally (
        pack TEXT NOT NULL,
        channel TEXT NOT NULL,
        release BYTEA NOT NULL,
        label TEXT NOT NULL,
        minute BIGINT NOT NULL,
        outcome TEXT NOT NULL,
        hours BIGINT NOT NULL,
        receipts BIGINT NOT NULL,
        PRIMARY KEY (pack, channel, release, minute, outcome, hours, label)
    );
";
const ADD: &str = "INSERT INTO satchel_receipt (device, id, document, received)
    SELECT device, id, document, $4
    FROM unnest($1::bytea[], $2::bytea[], $3::bytea[]) AS brought (device, id, document)
    ON CONFLICT DO NOTHING RETURNING device, id";
const COUNT: &str = "INSERT INTO satchel_tally
    (pack, channel, release, label, minute, outcome, hours, receipts)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
    ON CONFLICT (pack, channel, release, minute, outcome, hours, label)
    DO UPDATE SET receipts = satchel_tally.receipts + excluded.receipts";
const TALLY: &str = "SELECT pack, channel, release, label, minute, outcome, hours, receipts
    FROM satchel_tally WHERE ($1::text IS NULL OR pack = $1) AND minute >= $2";
