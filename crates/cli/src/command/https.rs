use std::fs;
use std::path::Path;

use updater_client::Https;

use crate::arguments::HttpsArguments;
use crate::failure::Failure;

/// Reads what the arguments name.
pub(super) fn https(arguments: &HttpsArguments) -> Result<Https, Failure> {
    let mut https = Https::new();
    if let Some(path) = &arguments.tls_roots {
        https = https.extra_roots(&read(path)?);
    }
    if let Some(path) = &arguments.tls_identity {
        https = https.identity(&read(path)?);
    }
    for pinned in &arguments.tls_pin {
        https = https.pinned_key(pinned.0);
    }
    Ok(https)
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|error| Failure::io("read", path, &error))
}
