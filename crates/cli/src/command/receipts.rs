use std::fs;
use std::path::Path;
use std::sync::Arc;

use release_format::{Receipt, otlp_logs};
use serde::Serialize;
use updater_client::courier::{Courier, FolderCourier, HttpCourier};
use updater_client::{HttpTransport, Updater};

use crate::arguments::{ListReceiptsArguments, ReceiptsVerb, SendReceiptsArguments};
use crate::failure::{Exit, Failure};
use crate::interrupt::cancel_on_interrupt;
use crate::output::{Output, Table, counted};

/// Does what is asked with the receipts of a library.
pub(crate) fn receipts(verb: &ReceiptsVerb, output: Output) -> Result<Exit, Failure> {
    match verb {
        ReceiptsVerb::List(arguments) => list(arguments, output),
        ReceiptsVerb::Send(arguments) => send(arguments, output),
    }
}

#[derive(Serialize)]
struct ListDocument {
    receipts: Vec<ReceiptDocument>,
}

#[derive(Serialize)]
struct ReceiptDocument {
    id: String,
    device: String,
    content_version: String,
    outcome: &'static str,
    reason: Option<String>,
    time: String,
}

impl From<&Receipt> for ReceiptDocument {
    fn from(receipt: &Receipt) -> ReceiptDocument {
        ReceiptDocument {
            id: receipt.id.to_string(),
            device: receipt.device.to_string(),
            content_version: receipt.content_version().to_string(),
            outcome: receipt.outcome.name(),
            reason: receipt
                .reason
                .as_ref()
                .map(|reason| reason.code().to_owned()),
            time: receipt.time.to_string(),
        }
    }
}

fn list(arguments: &ListReceiptsArguments, output: Output) -> Result<Exit, Failure> {
    let updater = Updater::open(&arguments.library)?;
    let receipts = updater.receipts()?;
    if arguments.otlp {
        let request = String::from_utf8_lossy(&otlp_logs(&receipts)).into_owned();
        output.text(&(request + "\n"))?;
        return Ok(Exit::Done);
    }
    let documents = receipts.iter().map(|one| one.receipt().into()).collect();
    let document = ListDocument {
        receipts: documents,
    };
    output.result(&document, |out| {
        if document.receipts.is_empty() {
            return writeln!(out, "no receipts wait");
        }
        let mut table = Table::new(&["time", "release", "outcome", "reason"]);
        for one in &document.receipts {
            table.row([
                one.time.clone(),
                one.content_version.clone(),
                one.outcome.to_owned(),
                one.reason.clone().unwrap_or_default(),
            ]);
        }
        table.write(out)
    })?;
    Ok(Exit::Done)
}

#[derive(Serialize)]
struct SentDocument {
    to: String,
    sent: u64,
    accepted: u64,
    dropped: u64,
    waiting: u64,
}

fn send(arguments: &SendReceiptsArguments, output: Output) -> Result<Exit, Failure> {
    let updater = Updater::open(&arguments.library)?;
    let courier = courier(&arguments.to, arguments.token_file.as_deref())?;
    let reported = updater.report(&*courier, &cancel_on_interrupt())?;
    let document = SentDocument {
        to: courier.address(),
        sent: reported.sent,
        accepted: reported.accepted,
        dropped: reported.dropped,
        waiting: reported.waiting,
    };
    output.result(&document, |out| {
        let sent = counted(document.sent, "receipt");
        writeln!(
            out,
            "handed {sent} to {}: {} arrived, {} refused for good, {} wait",
            document.to, document.accepted, document.dropped, document.waiting
        )
    })?;
    Ok(Exit::Done)
}

/// Returns the courier to an address or a folder.
pub(super) fn courier(to: &str, token_file: Option<&Path>) -> Result<Arc<dyn Courier>, Failure> {
    if !to.contains("://") {
        let folder = Path::new(to);
        if !folder.is_dir() {
            let message = format!("{} is not a folder", folder.display());
            return Err(Failure::new(Exit::Unreachable, "not-a-folder", message));
        }
        return Ok(Arc::new(FolderCourier::new(folder)));
    }
    let transport = HttpTransport::new(to).map_err(updater_client::UpdateError::from)?;
    let courier = HttpCourier::new(transport);
    Ok(match token_file {
        None => Arc::new(courier),
        Some(file) => Arc::new(courier.token(read_token(file)?)),
    })
}

/// Returns the token that a file holds: its first line.
pub(crate) fn read_token(file: &Path) -> Result<String, Failure> {
    let text = fs::read_to_string(file).map_err(|error| Failure::io("read", file, &error))?;
    match text.lines().next().map(str::trim) {
        Some(token) if !token.is_empty() => Ok(token.to_owned()),
        _ => {
            let message = format!("{} holds no token in its first line", file.display());
            Err(Failure::new(Exit::Usage, "no-token", message))
        }
    }
}
