use std::sync::Arc;

use super::{Body, Health, Mirrors, Transport, TransportError};

/// Neighbours that were found a moment ago, and the mirrors that a device knows by itself.
///
/// What says what is newest, the timestamp and the next root, comes from the device's own mirrors while
/// one of them is in reach: a neighbour that is behind, or that wants to keep a release from somebody,
/// has no say. Everything else has its version or digest in its name, and comes from the neighbours
/// first.
pub(crate) struct Nearby {
    neighbours_first: Mirrors,
    own_first: Mirrors,
    has_own: bool,
}

impl Nearby {
    /// Returns the transport over these, of which so much is known already.
    pub(crate) fn new(
        neighbours: Vec<Arc<dyn Transport>>,
        own: Vec<Arc<dyn Transport>>,
        health: &Arc<Health>,
    ) -> Nearby {
        let has_own = !own.is_empty();
        let in_order = |first: &[Arc<dyn Transport>], then: &[Arc<dyn Transport>]| {
            let all = first.iter().chain(then).cloned().collect();
            Mirrors::knowing(all, Arc::clone(health))
        };
        Nearby {
            neighbours_first: in_order(&neighbours, &own),
            own_first: in_order(&own, &neighbours),
            has_own,
        }
    }

    fn of(&self, location: &str) -> &Mirrors {
        if self.has_own && says_what_is_newest(location) {
            &self.own_first
        } else {
            &self.neighbours_first
        }
    }
}

impl Transport for Nearby {
    fn open(&self, location: &str, from: u64) -> Result<Body, TransportError> {
        self.of(location).open(location, from)
    }

    fn address(&self) -> String {
        self.own_first.address()
    }

    fn pass_over(&self, location: &str) -> bool {
        // All metadata belongs together, and most of it came from a neighbour: who brought what is
        // wrong nobody knows, so the neighbour goes first.
        self.neighbours_first.pass_over(location) || self.own_first.pass_over(location)
    }
}

fn says_what_is_newest(location: &str) -> bool {
    location == "metadata/timestamp.json" || location.ends_with(".root.json")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::transport::FolderTransport;

    /// A folder with a file for each location, whose bytes are its own name.
    fn mirror(name: &str, locations: &[&str]) -> (tempfile::TempDir, Arc<dyn Transport>) {
        let folder = tempfile::tempdir().unwrap();
        for location in locations {
            let path = folder.path().join(location);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
        let transport = Arc::new(FolderTransport::new(folder.path()));
        (folder, transport)
    }

    fn of(neighbours: Vec<Arc<dyn Transport>>, own: Vec<Arc<dyn Transport>>) -> Nearby {
        Nearby::new(neighbours, own, &Arc::default())
    }

    fn brought(transport: &dyn Transport, location: &str) -> String {
        let mut text = String::new();
        match transport.open(location, 0) {
            Ok(mut body) => body.reader.read_to_string(&mut text).unwrap(),
            Err(failed) => return failed.code().to_owned(),
        };
        text
    }

    const ALL: [&str; 4] = [
        "metadata/timestamp.json",
        "metadata/2.root.json",
        "metadata/7.snapshot.json",
        "content/ab/abcd",
    ];

    #[test]
    fn neighbours_bring_what_is_named_by_version_or_digest_and_never_what_is_newest() {
        let (_near, near) = mirror("near", &ALL);
        let (_own, own) = mirror("own", &ALL);
        let transport = of(vec![near], vec![own]);
        let found: Vec<_> = ALL.iter().map(|of| brought(&transport, of)).collect();
        assert_eq!(found, ["own", "own", "near", "near"]);
    }

    #[test]
    fn neighbours_stand_in_for_a_network_that_is_gone_and_the_network_for_them() {
        let (_near, near) = mirror("near", &ALL);
        let nowhere =
            || -> Arc<dyn Transport> { Arc::new(FolderTransport::new("/nowhere/at/all")) };
        for transport in [
            of(vec![Arc::clone(&near)], vec![nowhere()]),
            of(vec![nowhere(), Arc::clone(&near)], Vec::new()),
            of(vec![nowhere()], vec![near]),
        ] {
            let found: Vec<_> = ALL.iter().map(|of| brought(&transport, of)).collect();
            assert_eq!(found, ["near"; 4]);
        }
    }

    #[test]
    fn a_neighbour_that_brought_what_is_refused_is_not_asked_again() {
        let (_near, near) = mirror("near", &ALL);
        let (_own, own) = mirror("own", &ALL);
        let transport = of(vec![near], vec![own]);
        for (location, stays) in [(ALL[2], ALL[3]), (ALL[3], ALL[0])] {
            brought(&transport, location);
            assert!(transport.pass_over(location));
            assert_eq!(brought(&transport, location), "own");
            assert_ne!(brought(&transport, stays), "absent");
        }
        assert!(!transport.pass_over(ALL[3]));
    }
}
