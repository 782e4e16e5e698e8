use std::io;

use serde::Serialize;

use crate::arguments::ServeArguments;
use crate::failure::{Exit, Failure};
use crate::interrupt::wait_for_interrupt;
use crate::output::Output;
use crate::server::Server;

#[derive(Serialize)]
struct Listening<'a> {
    address: &'a str,
}

/// Serves a folder until Ctrl-C.
pub(crate) fn serve(arguments: &ServeArguments, output: Output) -> Result<Exit, Failure> {
    let root = &arguments.repo;
    if !root.is_dir() {
        let message = format!("{} is not a folder", root.display());
        return Err(Failure::new(Exit::Other, "not-a-folder", message));
    }
    if !root.join("metadata").is_dir() {
        output.warning(format!(
            "{} has no metadata: it is no repository",
            root.display()
        ));
    }
    let observe = move |path: &str, status: u16| output.detail(format!("{status} {path}"));
    let server = Server::start(root, arguments.listen, observe).map_err(|error| {
        let message = format!("cannot listen on {}: {error}", arguments.listen);
        Failure::new(Exit::Other, "listen", message)
            .with_remedy("Choose another address with --listen; port 0 takes a free one.")
    })?;
    let failed = |error: io::Error| Failure::new(Exit::Other, "serve", error.to_string());
    let url = server.url();
    output.result(&Listening { address: &url }, |out| {
        writeln!(out, "listening on {url}")
    })?;
    wait_for_interrupt().map_err(failed)?;
    let (requests, sent) = (server.meter().requests(), server.meter().sent());
    server.stop().map_err(failed)?;
    output.message(format!("answered {requests} requests with {sent} bytes"));
    Ok(Exit::Done)
}
