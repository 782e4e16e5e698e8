use updater_client::{Event, Observer};

use crate::output::{Bar, Output, counted};

/// Tells a person what the client is doing.
pub(super) struct Teller {
    output: Output,
    bar: Bar,
}

impl Teller {
    pub(super) fn new(output: Output) -> Teller {
        Teller {
            output,
            bar: output.bar("starting", 0),
        }
    }
}

impl Observer for Teller {
    fn event(&self, event: &Event) {
        match event {
            Event::Fetching { received, total } => self.bar.set("fetching", *received, *total),
            Event::Staging { done, total } => self.bar.set("rebuilding", *done, *total),
            Event::Verifying { done, total } => self.bar.set("verifying", *done, *total),
            Event::Healing { done, total } => self.bar.set("healing", *done, *total),
            Event::Checking { pack } => self.output.detail(format!("asking for {pack}")),
            Event::Syncing => self.output.detail("making it durable"),
            Event::Recovered { what } => self.output.message(format!("recovered: {what}")),
            Event::RouteAbandoned { pack, reason } => {
                self.output
                    .message(format!("{pack}: taking another way: {reason}"));
            }
            Event::NotesMissing { pack, reason } => {
                self.output
                    .detail(format!("{pack}: without its notes: {reason}"));
            }
            Event::Reported {
                to,
                accepted,
                waiting,
            } => {
                let arrived = counted(*accepted, "receipt");
                self.output
                    .message(format!("{arrived} arrived at {to}, {waiting} wait"));
            }
            Event::NotReported { to, reason } => {
                self.output
                    .warning(format!("receipts for {to} wait on: {reason}"));
            }
            Event::Reverted {
                pack, from, reason, ..
            } => {
                self.output
                    .message(format!("{pack}: {from} was left: {reason}"));
            }
            // What else happens is the result, which the verb prints.
            _ => {}
        }
    }
}
