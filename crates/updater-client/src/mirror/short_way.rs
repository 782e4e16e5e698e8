use release_format::{Patch, Patches, TargetEntry};

/// A patch that leads from a file that is held, or from nothing, to one that signed metadata names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ShortWay {
    /// Where the repository keeps it.
    pub(crate) location: String,
    /// How long it is.
    pub(crate) patch_bytes: u64,
    old: Vec<u8>,
    sha256: String,
    length: u64,
}

impl ShortWay {
    /// Returns the shortest that leads to the file with this digest and length; `None` where none is
    /// shorter than the file.
    pub(crate) fn to(
        (sha256, length): (&str, u64),
        patches: &Patches,
        held: impl Iterator<Item = Vec<u8>>,
    ) -> Option<ShortWay> {
        let nothing = std::iter::once(Vec::new());
        let ways = held.chain(nothing).filter_map(|old| {
            let listed = patches.shortest(Some(&old), (sha256, length))?;
            let is_from_nothing = listed.patch == Patch::FROM_NOTHING;
            let (location, patch_bytes) = (listed.location, listed.length);
            Some(ShortWay {
                location,
                patch_bytes,
                old: if is_from_nothing { Vec::new() } else { old },
                sha256: sha256.to_owned(),
                length,
            })
        });
        ways.min_by_key(|way| way.patch_bytes)
    }

    /// Returns the file, if these bytes lead to it.
    pub(crate) fn follow(&self, patch: &[u8]) -> Option<Vec<u8>> {
        let new = Patch::from_old(&self.old).apply(patch, self.length).ok()?;
        let is_it = TargetEntry::of(&new).sha256() == Some(&self.sha256);
        is_it.then_some(new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(releases: u32) -> Vec<u8> {
        let lines = (0..releases).map(|release| format!("release {release} of many\n"));
        lines.collect::<String>().into_bytes()
    }

    #[test]
    fn the_shortest_is_taken_and_leads_to_the_very_file_or_nowhere() {
        let (first, second, new) = (file(10), file(40), file(41));
        let mut patches = Patches::default();
        let mut made = Vec::new();
        for old in [Patch::from_old(&second), Patch::FROM_NOTHING] {
            let patch = old.make(&new).unwrap();
            patches.add(&old, patch.len() as u64);
            made.push(patch);
        }
        let sha256 = TargetEntry::of(&new).sha256().unwrap().to_owned();
        let named = (sha256.as_str(), new.len() as u64);
        let way = |held: &[&Vec<u8>]| {
            let held: Vec<Vec<u8>> = held.iter().map(|of| of.to_vec()).collect();
            ShortWay::to(named, &patches, held.into_iter()).unwrap()
        };
        let [from_second, from_nothing] = made.as_slice() else {
            panic!("expected two patches");
        };
        for (held, patch) in [
            (&[&first, &second][..], from_second),
            (&[&first], from_nothing),
            (&[], from_nothing),
        ] {
            let way = way(held);
            assert_eq!(way.patch_bytes, patch.len() as u64);
            assert_eq!(way.follow(patch).as_ref(), Some(&new));
            assert_eq!(way.follow(b"<html>"), None);
        }
        assert_eq!(way(&[]).follow(from_second), None);
        // One that leads to another file of the same length.
        let mut other = new.clone();
        other[3] ^= 1;
        let lie = Patch::FROM_NOTHING.make(&other).unwrap();
        assert_eq!(way(&[]).follow(&lie), None);
        let none = ShortWay::to(named, &Patches::default(), [second].into_iter());
        assert_eq!(none, None);
    }
}
