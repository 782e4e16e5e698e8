//! One page that tells how a repository stands.

use std::path::Path;

use serde::Serialize;

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
    let page = repository.report(signing_time()?, None)?;
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
