use std::path::Path;
use std::time::Instant;

use collector::{
    Collector, CollectorError, CollectorOptions, DeviceLimits, Devices, SqliteStore, Store,
    read_device_list,
};
use release_format::UtcTime;
use serde::Serialize;
use updater_client::{Clock, SystemClock};

use crate::arguments::CollectArguments;
use crate::command::receipts::read_token;
use crate::failure::{Exit, Failure};
use crate::interrupt::wait_for_end;
use crate::output::{Output, counted};

#[derive(Serialize)]
struct Listening<'a> {
    address: &'a str,
    receipts: u64,
}

#[derive(Serialize)]
struct ImportedDocument {
    new: u64,
    known: u64,
    refused: Vec<String>,
}

/// Takes receipts until Ctrl-C, or those of a folder.
pub(crate) fn collect(arguments: &CollectArguments, output: Output) -> Result<Exit, Failure> {
    let mut store = open(&arguments.database)?;
    if let Some(folder) = &arguments.import {
        return import(&mut *store, folder, output);
    }
    let receipts = store.receipts().map_err(failure)?;
    let options = CollectorOptions {
        listen: arguments.listen,
        devices: devices(arguments)?,
        token: arguments
            .token_file
            .as_deref()
            .map(read_token)
            .transpose()?,
        failing: Box::new(move |failed| output.warning(failed.to_string())),
    };
    let collector = Collector::start(store, options).map_err(failure)?;
    let url = format!("http://{}", collector.address());
    let document = Listening {
        address: &url,
        receipts,
    };
    output.result(&document, |out| writeln!(out, "listening on {url}"))?;
    output.message(format!("{} are here", counted(receipts, "receipt")));
    wait_for_end().map_err(|error| Failure::new(Exit::Other, "collect", error.to_string()))?;
    collector.stop().map_err(failure)?;
    Ok(Exit::Done)
}

fn import(store: &mut dyn Store, folder: &Path, output: Output) -> Result<Exit, Failure> {
    let now: UtcTime = SystemClock.now();
    let imported = collector::import(store, folder, now).map_err(failure)?;
    let refused = imported.refused.iter();
    let document = ImportedDocument {
        new: imported.new,
        known: imported.known,
        refused: refused.map(|path| path.display().to_string()).collect(),
    };
    output.result(&document, |out| {
        let new = counted(document.new, "new receipt");
        writeln!(out, "{new}, {} known", document.known)
    })?;
    for path in &document.refused {
        output.warning(format!(
            "{path} holds no receipt that its device signed; it is left"
        ));
    }
    Ok(Exit::Done)
}

/// Opens the database that is named.
pub(crate) fn open(database: &str) -> Result<Box<dyn Store>, Failure> {
    if !database.contains("://") {
        let store = SqliteStore::open(Path::new(database)).map_err(failure)?;
        return Ok(Box::new(store));
    }
    #[cfg(feature = "postgres")]
    if database.starts_with("postgres://") || database.starts_with("postgresql://") {
        let store = collector::PostgresStore::connect(database).map_err(failure)?;
        return Ok(Box::new(store));
    }
    let message = "expected a file, or a postgres:// address in a build with the feature postgres";
    Err(Failure::new(Exit::Usage, "database", message))
}

fn devices(arguments: &CollectArguments) -> Result<Devices, Failure> {
    let limits = DeviceLimits {
        receipts_an_hour: arguments.receipts_an_hour,
        newcomers_an_hour: arguments.newcomers_an_hour,
    };
    let now = Instant::now();
    if arguments.devices == "open" {
        return Ok(Devices::open(limits, now));
    }
    let listed = read_device_list(Path::new(&arguments.devices)).map_err(failure)?;
    Ok(Devices::listed(listed, limits, now))
}

/// Returns what a person is told when collecting, or reading what was collected, fails.
pub(crate) fn failure(failed: CollectorError) -> Failure {
    let message = failed.to_string();
    match failed {
        CollectorError::NewerDatabase { .. } => {
            Failure::new(Exit::Unsupported, "newer-database", message)
                .with_remedy("Use the Satchel that made it, or a newer one.")
        }
        CollectorError::DeviceList { .. } => Failure::new(Exit::Usage, "device-list", message),
        CollectorError::Serve(_) => Failure::new(Exit::Other, "listen", message)
            .with_remedy("Choose another address with --listen; port 0 takes a free one."),
        CollectorError::Database { .. } => Failure::new(Exit::Other, "database", message),
        _ => Failure::new(Exit::Other, "collect", message),
    }
}
