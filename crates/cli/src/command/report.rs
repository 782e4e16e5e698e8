//! One page that tells how a repository stands.

use std::path::Path;

use publisher::ReceiptSource;
use serde::Serialize;

use super::collect::failure;
use super::counted::{ByDay, tally};
use crate::arguments::ReportArguments;
use crate::aside::Aside;
use crate::command::place;
use crate::command::publish::signing_time;
use crate::failure::{Exit, Failure};
use crate::output::{Output, bytes};

#[derive(Serialize)]
struct ReportDocument<'a> {
    repository: &'a Path,
    page: &'a Path,
    bytes: u64,
}

/// Writes the page of a repository.
pub(crate) fn report(arguments: &ReportArguments, output: Output) -> Result<Exit, Failure> {
    let repository = place::open(&arguments.repo)?;
    let now = signing_time()?;
    let counted = match &arguments.receipts {
        Some(source) => Some(ByDay(tally(source, None, None, now).map_err(failure)?)),
        None => None,
    };
    let receipts = counted.as_ref().map(|days| days as &dyn ReceiptSource);
    let page = repository.report(now, receipts)?;
    let aside = Aside::beside(&arguments.out)?;
    std::fs::write(aside.path(), &page)
        .map_err(|error| Failure::io("write", &arguments.out, &error))?;
    aside.finish()?;
    let document = ReportDocument {
        repository: &arguments.repo,
        page: &arguments.out,
        bytes: page.len() as u64,
    };
    output.result(&document, |out| {
        writeln!(
            out,
            "{}, {}",
            arguments.out.display(),
            bytes(document.bytes)
        )
    })?;
    Ok(Exit::Done)
}
