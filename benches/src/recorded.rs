use std::collections::HashMap;
use std::env;
use std::fs;

use crate::Outcome;

/// Returns, for each pair, the peer that made the smallest delta of it elsewhere, and that size.
/// Downloads of whole files are no deltas.
pub(crate) fn read() -> Outcome<HashMap<String, (String, u64)>> {
    let mut best: HashMap<String, (String, u64)> = HashMap::new();
    let Some(path) = env::var_os("SATCHEL_PEERS") else {
        return Ok(best);
    };
    for line in fs::read_to_string(path)?.lines().skip(1) {
        let mut fields = line.split('\t');
        let (Some(pair), Some(peer), Some(bytes)) = (fields.next(), fields.next(), fields.next())
        else {
            return Err(format!("no pair, peer and size: {line}").into());
        };
        let bytes: u64 = bytes.parse()?;
        if peer.starts_with("objects-") || peer.starts_with("full-") {
            continue;
        }
        let found = best
            .entry(pair.to_owned())
            .or_insert((peer.to_owned(), bytes));
        if bytes < found.1 {
            *found = (peer.to_owned(), bytes);
        }
    }
    Ok(best)
}
