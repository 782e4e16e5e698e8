use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use serde::Serialize;
use updater_client::{Mirror, MirrorBuilder};

use super::https::https;
use crate::arguments::MirrorArguments;
use crate::failure::{Exit, Failure};
use crate::interrupt::wait_for_interrupt;
use crate::nearby::{self, Announcement};
use crate::output::{Output, bytes, counted};
use crate::server::{Server, neighbours};

#[derive(Serialize)]
struct Listening<'a> {
    address: &'a str,
    root: String,
    announced: bool,
}

/// Serves a library to its neighbours until Ctrl-C.
pub(crate) fn mirror(arguments: &MirrorArguments, output: Output) -> Result<Exit, Failure> {
    let mut builder = MirrorBuilder::new(&arguments.library)
        .keep_bytes(arguments.keep.0)
        .https(https(&arguments.https)?);
    if arguments.no_upstream {
        builder = builder.without_upstream();
    }
    let mirror = Arc::new(builder.build()?);
    let observe = move |path: &str, status: u16| output.detail(format!("{status} {path}"));
    let files = neighbours::router(Arc::clone(&mirror));
    let server = Server::over(files, arguments.listen, observe).map_err(|error| {
        let message = format!("cannot listen on {}: {error}", arguments.listen);
        Failure::new(Exit::Other, "listen", message)
            .with_remedy("Choose another address with --listen; port 0 takes a free one.")
    })?;
    let failed = |error: io::Error| Failure::new(Exit::Other, "mirror", error.to_string());
    let announcement = announce(arguments, server.address(), &mirror, output);
    let url = server.url();
    let document = Listening {
        address: &url,
        root: mirror.first_root().short(),
        announced: announcement.is_some(),
    };
    output.result(&document, |out| writeln!(out, "listening on {url}"))?;
    output.message(told(&server.address(), announcement.is_some()));
    wait_for_interrupt().map_err(failed)?;
    drop(announcement);
    let (requests, sent) = (server.meter().requests(), server.meter().sent());
    server.stop().map_err(failed)?;
    let traffic = mirror.traffic();
    output.message(format!(
        "answered {} with {}; fetched {} in {}",
        counted(requests, "request"),
        bytes(sent),
        bytes(traffic.bytes),
        counted(traffic.requests, "request")
    ));
    Ok(Exit::Done)
}

/// Returns how other devices take the mirror.
fn told(address: &SocketAddr, is_announced: bool) -> String {
    let mut shown = *address;
    if shown.ip().is_unspecified()
        && let Some(ip) = nearby::address_of_this_device()
    {
        shown.set_ip(ip);
    }
    let by_hand = format!("--from http://{shown}");
    if is_announced {
        format!("other devices take it by `satchel update LIBRARY --nearby`, or {by_hand}")
    } else {
        format!("other devices take it by `satchel update LIBRARY {by_hand}`")
    }
}

/// Announces the mirror, unless nobody is to know of it or nobody else could reach it.
fn announce(
    arguments: &MirrorArguments,
    address: SocketAddr,
    mirror: &Mirror,
    output: Output,
) -> Option<Announcement> {
    if arguments.no_announce || address.ip().is_loopback() {
        return None;
    }
    match Announcement::start(address, &mirror.first_root(), output) {
        Ok(announcement) => Some(announcement),
        Err(why) => {
            output.warning(format!(
                "the mirror cannot be announced: {why}; devices find it by --from http://ADDRESS"
            ));
            None
        }
    }
}
