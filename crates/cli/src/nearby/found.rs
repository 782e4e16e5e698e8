use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// A mirror that somebody announces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// Which repository it says that it is a mirror of: the short digest of its first root.
    pub(crate) root: Option<String>,
    pub(crate) port: u16,
    pub(crate) addresses: Vec<IpAddr>,
}

/// Returns the addresses of the mirrors of the repository with this first root, one for each mirror, in
/// an order that is the same for everybody: so that a class with two mirrors has one of them fetch.
pub(crate) fn matching(found: &[Found], root: &str) -> Vec<SocketAddr> {
    let ours = found
        .iter()
        .filter(|found| found.root.as_deref() == Some(root));
    let addresses: BTreeSet<SocketAddr> = ours.filter_map(address).collect();
    addresses.into_iter().take(MAX_NEIGHBOURS).collect()
}

/// Returns the address to try: one of version 4 rather than of version 6, and none that means another
/// thing on each device.
fn address(found: &Found) -> Option<SocketAddr> {
    let usable = found.addresses.iter().filter(|address| {
        let means_another = match address {
            IpAddr::V4(_) => false,
            IpAddr::V6(address) => is_link_local(address),
        };
        // Who announces the loopback sends each device to itself.
        !means_another
            && !address.is_loopback()
            && !address.is_unspecified()
            && !address.is_multicast()
    });
    let best = usable.min()?;
    (found.port > 0).then(|| SocketAddr::new(*best, found.port))
}

/// Such an address needs the name of an interface, which is not the same everywhere.
fn is_link_local(address: &Ipv6Addr) -> bool {
    address.segments()[0] & 0xffc0 == 0xfe80
}

/// More would only be asked in vain, one after the other.
const MAX_NEIGHBOURS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn found(root: &str, port: u16, addresses: &[&str]) -> Found {
        Found {
            root: Some(root.to_owned()),
            port,
            addresses: addresses.iter().map(|of| of.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn mirrors_of_this_repository_are_taken_in_one_order_by_everybody() {
        let mut all = vec![
            found("ours", 8485, &["fd00::7", "127.0.0.1", "192.168.1.9"]),
            found("theirs", 8485, &["192.168.1.2"]),
            found("ours", 8486, &["192.168.1.5"]),
            found("ours", 8485, &["192.168.1.9"]),
            found("ours", 8485, &["fe80::1"]),
            found("ours", 8485, &["fe80::1", "fd00::1"]),
            found("ours", 0, &["192.168.1.1"]),
            found(
                "ours",
                8485,
                &["0.0.0.0", "224.0.0.251", "127.0.0.1", "::1"],
            ),
            Found {
                root: None,
                ..found("ours", 8485, &["192.168.1.3"])
            },
        ];
        let expected: Vec<SocketAddr> = ["192.168.1.5:8486", "192.168.1.9:8485", "[fd00::1]:8485"]
            .map(|of| of.parse().unwrap())
            .to_vec();
        assert_eq!(matching(&all, "ours"), expected);
        all.reverse();
        assert_eq!(matching(&all, "ours"), expected);
        assert_eq!(matching(&all, "nobody's"), []);
    }

    #[test]
    fn a_network_full_of_mirrors_is_not_asked_one_by_one() {
        let all: Vec<Found> = (1..200)
            .map(|number| found("ours", 8485, &[&format!("10.0.0.{number}")]))
            .collect();
        assert_eq!(matching(&all, "ours").len(), MAX_NEIGHBOURS);
    }
}
