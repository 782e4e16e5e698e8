use std::path::Path;

use serde::Serialize;

use super::opened;
use crate::arguments::{LabelArguments, set_labels};
use crate::failure::{Exit, Failure};
use crate::output::Output;

#[derive(Serialize)]
struct LabelDocument<'a> {
    library: &'a Path,
    labels: Vec<PairDocument<'a>>,
}

#[derive(Serialize)]
struct PairDocument<'a> {
    key: &'a str,
    value: &'a str,
}

/// Shows and changes what a device says of itself.
pub(crate) fn label(arguments: &LabelArguments, output: Output) -> Result<Exit, Failure> {
    let mut updater = opened(&arguments.library, None, output)?;
    if !arguments.labels.is_empty() || !arguments.remove.is_empty() {
        let mut refused = None;
        updater.change_labels(|labels| {
            let mut next = labels.clone();
            for key in &arguments.remove {
                next.remove(key);
            }
            match set_labels(&mut next, &arguments.labels) {
                Ok(()) => *labels = next,
                Err(message) => refused = Some(Failure::new(Exit::Usage, "usage", message)),
            }
        })?;
        if let Some(failure) = refused {
            return Err(failure);
        }
    }
    let labels = updater.labels();
    let document = LabelDocument {
        library: &arguments.library,
        labels: labels
            .iter()
            .map(|(key, value)| PairDocument { key, value })
            .collect(),
    };
    output.result(&document, |out| {
        if labels.is_empty() {
            return writeln!(out, "no labels");
        }
        let mut labels = labels.iter();
        labels.try_for_each(|(key, value)| writeln!(out, "{key}={value}"))
    })?;
    Ok(Exit::Done)
}
