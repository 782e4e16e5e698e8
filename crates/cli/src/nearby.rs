//! Mirrors of the same network: announced and found by multicast DNS, and believed in nothing.
//!
//! What is found is a hint. Nobody waits for it longer than a second and a half, and whatever goes wrong is told
//! to people who asked for more alone.

mod found;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use diff_core::Digest;
use mdns_sd::{DaemonEvent, IfKind, ServiceDaemon, ServiceEvent, ServiceInfo};
use updater_client::{HttpTransport, Transport};

use crate::output::Output;
pub(crate) use found::Found;

/// A mirror that is announced until this is dropped.
pub(crate) struct Announcement {
    daemon: ServiceDaemon,
    name: String,
}

impl Announcement {
    /// Announces the mirror at `address` of the repository whose first root has this digest.
    ///
    /// Tells nothing of the device: its name is that of the repository and of a port.
    pub(crate) fn start(
        address: SocketAddr,
        first_root: &Digest,
        output: Output,
    ) -> Result<Announcement, String> {
        let daemon = daemon()?;
        let port = address.port();
        // Two mirrors of one repository have to differ, and nothing else needs to be known of them.
        let instance = format!("{}-{port}-{}", first_root.short(), unique());
        let host = format!("satchel-{instance}.local.");
        let txt = [(ROOT, first_root.short())];
        let address = address.ip();
        let is_any = address.is_unspecified();
        let ip = if is_any {
            String::new()
        } else {
            address.to_string()
        };
        let service = ServiceInfo::new(SERVICE, &instance, &host, ip.as_str(), port, &txt[..]);
        let mut service = service.map_err(|failed| failed.to_string())?;
        if is_any {
            service = service.enable_addr_auto();
        }
        if address.is_ipv4() {
            // Nobody listens on the others.
            service.set_interfaces(vec![IfKind::IPv4]);
        }
        let name = service.get_fullname().to_owned();
        if let Ok(events) = daemon.monitor() {
            thread::spawn(move || {
                while let Ok(event) = events.recv() {
                    if let DaemonEvent::Error(failed) = event {
                        output.detail(format!("announcing: {failed}"));
                    }
                }
            });
        }
        daemon
            .register(service)
            .map_err(|failed| failed.to_string())?;
        Ok(Announcement { daemon, name })
    }
}

impl Drop for Announcement {
    fn drop(&mut self) {
        // Whoever does not hear the farewell finds a mirror that does not answer.
        if let Ok(gone) = self.daemon.unregister(&self.name) {
            let _ = gone.recv_timeout(FAREWELL);
        }
        let _ = self.daemon.shutdown();
    }
}

/// Returns the mirrors of the repository with this first root that answer a call for them, the
/// ones to take first first.
pub(crate) fn neighbours(first_root: &Digest, output: Output) -> Vec<Arc<dyn Transport>> {
    let found = match browse(&first_root.short()) {
        Ok(found) => found,
        Err(why) => {
            output.detail(format!("nobody can be looked for nearby: {why}"));
            Vec::new()
        }
    };
    let addresses = found::matching(&found, &first_root.short());
    if addresses.is_empty() {
        output.detail("no mirror of the repository is nearby");
    }
    let mut transports: Vec<Arc<dyn Transport>> = Vec::new();
    for address in addresses {
        match transport(address) {
            Ok(transport) => {
                output.detail(format!("a mirror is nearby: {}", transport.address()));
                transports.push(Arc::new(transport));
            }
            Err(why) => output.detail(format!("{address} is passed over: {why}")),
        }
    }
    transports
}

/// Returns the transport to a neighbour: one that is gone must not keep a device waiting.
pub(crate) fn transport(address: SocketAddr) -> Result<HttpTransport, String> {
    HttpTransport::builder(&format!("http://{address}"))
        .connect_timeout(CONNECT_TIMEOUT)
        .stall_timeout(STALL_TIMEOUT)
        .build()
        .map_err(|failed| failed.to_string())
}

/// Returns what speaks multicast DNS, on every network but the one of this device with itself: there
/// a mirror would be found under an address that is another's everywhere else.
fn daemon() -> Result<ServiceDaemon, String> {
    let daemon = ServiceDaemon::new().map_err(|failed| failed.to_string())?;
    daemon
        .disable_interface(vec![IfKind::LoopbackV4, IfKind::LoopbackV6])
        .map_err(|failed| failed.to_string())?;
    Ok(daemon)
}

/// Returns the address by which this device sends to its network; nothing is sent.
pub(crate) fn address_of_this_device() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((MULTICAST, MULTICAST_PORT)).ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_unspecified() && !address.is_loopback()).then_some(address)
}

fn browse(root: &str) -> Result<Vec<Found>, String> {
    let daemon = daemon()?;
    let events = daemon
        .browse(SERVICE)
        .map_err(|failed| failed.to_string())?;
    let mut end = Instant::now() + BROWSE_TIME;
    let mut found = Vec::new();
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        match events.recv_timeout(left) {
            Ok(ServiceEvent::ServiceResolved(service)) => {
                let addresses: Vec<IpAddr> = service
                    .addresses
                    .iter()
                    .map(|address| address.to_ip_addr())
                    .collect();
                found.push(Found {
                    root: service
                        .txt_properties
                        .get_property_val_str(ROOT)
                        .map(str::to_owned),
                    port: service.port,
                    addresses,
                });
                if !found::matching(&found, root).is_empty() {
                    // Whoever else answers does so at once, too.
                    end = end.min(Instant::now() + SETTLE_TIME);
                }
            }
            Ok(_) => {}
            Err(_over) => break,
        }
    }
    let _ = daemon.shutdown();
    Ok(found)
}

/// Returns digits that no other mirror of the network has, as a rule.
fn unique() -> String {
    use std::hash::{BuildHasher, RandomState};
    format!("{:08x}", RandomState::new().hash_one(0) & 0xffff_ffff)
}

const SERVICE: &str = "_satchel._tcp.local.";
const ROOT: &str = "root";
const MULTICAST: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const MULTICAST_PORT: u16 = 5353;
/// Nobody answers the same question twice within a second: what another device has just asked is asked
/// again once that is over.
const BROWSE_TIME: Duration = Duration::from_millis(1_500);
const SETTLE_TIME: Duration = Duration::from_millis(200);
const FAREWELL: Duration = Duration::from_millis(500);
/// In one room; a device that sleeps does not answer at all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// A mirror that fetches over a thin line itself sends its first byte late.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::arguments::OutputArguments;

    #[test]
    fn a_neighbour_that_does_not_answer_is_given_up_within_seconds() {
        // A listener whose queue nobody empties still connects; an address that nobody has does not.
        let began = Instant::now();
        let gone = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let dead: SocketAddr = "192.0.2.1:8485".parse().unwrap();
        for address in [gone, dead] {
            let failed = transport(address)
                .unwrap()
                .open("metadata/timestamp.json", 0);
            assert!(
                failed.is_err_and(|failed| failed.is_unreachable()),
                "{address}"
            );
        }
        assert!(began.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_mirror_is_announced_and_found_by_its_root_alone() {
        let output = Output::new(OutputArguments::default());
        let (ours, theirs) = (Digest::of(b"ours"), Digest::of(b"theirs"));
        let address = SocketAddr::from(([0, 0, 0, 0], 8485));
        let announced = Announcement::start(address, &ours, output);
        let Ok(_announced) = announced else {
            println!("skipped: multicast DNS cannot be used here");
            return;
        };
        // Announcing takes a second of probing; a network without multicast never answers.
        let end = Instant::now() + Duration::from_secs(8);
        while Instant::now() < end {
            if !neighbours(&ours, output).is_empty() {
                assert!(neighbours(&theirs, output).is_empty());
                return;
            }
        }
        println!("skipped: multicast does not come back on this network");
    }
}
