use crate::Listing;
use crate::delta::Origin;
use crate::pairing::{Counterpart, Pairing};

/// Files to be built that share a context, before they are coded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Draft {
    /// One file, in several frames where it is long.
    Alone(Member),
    /// Changed files with their counterparts, few enough for one frame.
    Together(Vec<Member>),
    /// Files without counterpart, few enough for one frame.
    Fresh(Vec<Member>),
}

/// One file of a draft.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Member {
    /// The file's index in the new listing.
    pub(crate) file: usize,
    /// How many bytes it has.
    pub(crate) length: u64,
    /// The old file that it resembles.
    pub(crate) counterpart: Option<Counterpart>,
}

impl Draft {
    /// Returns how many new bytes the draft has.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Draft::Alone(member) => member.length,
            Draft::Together(members) | Draft::Fresh(members) => {
                members.iter().map(|member| member.length).sum()
            }
        }
    }
}

/// Sorts the files to be built into drafts: those that resemble each other by kind and path side by
/// side, under caps that let a device decode two groups at once.
pub(crate) fn drafts(pairing: &Pairing, old: &Listing, new: &Listing) -> Vec<Draft> {
    let built = pairing.files.iter().zip(&pairing.counterparts).enumerate();
    let built = built.filter(|(_, (file, _))| file.origin == Origin::Built);
    let mut members: Vec<Member> = built
        .map(|(index, (file, counterpart))| Member {
            file: index,
            length: file.length,
            counterpart: *counterpart,
        })
        .collect();
    members.sort_by_key(|member| {
        let path = new.entries().get(member.file).map(|entry| &entry.path);
        path.map(|path| (path.extension(), path))
    });

    let reference_bytes = |member: &Member| {
        let index = member.counterpart.map(|counterpart| counterpart.index);
        let entry = index.and_then(|index| old.entries().get(index));
        entry.map_or(0, |entry| entry.length)
    };
    let mut drafts = Vec::new();
    let mut together = Filling::new(FRAME_BYTES, FRAME_REFERENCE_BYTES);
    let mut fresh = Filling::new(FRESH_BYTES, 0);
    for member in members {
        let reference = reference_bytes(&member);
        if member.counterpart.is_none() && member.length <= FRESH_BYTES {
            drafts.extend(fresh.add(member, 0).map(Draft::Fresh));
        } else if member.length > FRAME_BYTES || reference > FRAME_REFERENCE_BYTES {
            drafts.push(Draft::Alone(member));
        } else {
            drafts.extend(together.add(member, reference).map(Draft::Together));
        }
    }
    drafts.extend(together.rest().map(Draft::Together));
    drafts.extend(fresh.rest().map(Draft::Fresh));
    // The longest work first leaves no core waiting for it at the end; the sort is stable.
    drafts.sort_by_key(|draft| std::cmp::Reverse(draft.bytes()));
    drafts
}

/// A draft's members while they come, under caps.
struct Filling {
    max_bytes: u64,
    max_reference_bytes: u64,
    members: Vec<Member>,
    bytes: u64,
    reference_bytes: u64,
}

impl Filling {
    fn new(max_bytes: u64, max_reference_bytes: u64) -> Filling {
        Filling {
            max_bytes,
            max_reference_bytes,
            members: Vec::new(),
            bytes: 0,
            reference_bytes: 0,
        }
    }

    /// Adds a member and returns those before it when it did not fit beside them.
    fn add(&mut self, member: Member, reference_bytes: u64) -> Option<Vec<Member>> {
        let bytes = self.bytes.saturating_add(member.length);
        let references = self.reference_bytes.saturating_add(reference_bytes);
        let full = if bytes > self.max_bytes || references > self.max_reference_bytes {
            self.rest()
        } else {
            None
        };
        self.members.push(member);
        self.bytes += member.length;
        self.reference_bytes += reference_bytes;
        full
    }

    fn rest(&mut self) -> Option<Vec<Member>> {
        self.bytes = 0;
        self.reference_bytes = 0;
        let members = std::mem::take(&mut self.members);
        (!members.is_empty()).then_some(members)
    }
}

/// New bytes of a frame with a reference: the decoder's window holds them all.
pub(crate) const FRAME_BYTES: u64 = 8 << 20;
/// Old bytes of a frame: a device copies them together where they come from several files.
pub(crate) const FRAME_REFERENCE_BYTES: u64 = 16 << 20;
/// New bytes of a frame without reference: they stream through the window, so that only time counts.
pub(crate) const FRESH_BYTES: u64 = 32 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ContentPath, Digest, Entry, Limits};

    fn listing(files: &[(&str, u64, u8)]) -> Listing {
        let entry = |(path, length, content): &(&str, u64, u8)| Entry {
            path: ContentPath::parse(path).unwrap(),
            length: *length,
            digest: Digest::of(&[*content]),
        };
        Listing::new(files.iter().map(entry).collect(), &Limits::standard()).unwrap()
    }

    fn paths(drafts: &[Draft], new: &Listing) -> Vec<(char, Vec<String>)> {
        let path = |member: &Member| new.entries()[member.file].path.to_string();
        let told = |draft: &Draft| match draft {
            Draft::Alone(member) => ('a', vec![path(member)]),
            Draft::Together(members) => ('t', members.iter().map(path).collect()),
            Draft::Fresh(members) => ('f', members.iter().map(path).collect()),
        };
        drafts.iter().map(told).collect()
    }

    #[test]
    fn drafts_sort_by_kind_and_keep_their_caps() {
        let old = listing(&[
            ("a.css", 1 << 20, 0),
            ("a.js", 9 << 20, 1),
            ("b.js", 9 << 20, 2),
            ("big.db", 17 << 20, 3),
            ("same", 5, 4),
        ]);
        let new = listing(&[
            ("a.css", 1 << 20, 10),
            ("a.js", 3 << 20, 11),
            ("b.js", 2 << 20, 12),
            ("big.db", 1000, 13),
            ("n/x.mp4", 40 << 20, 14),
            ("n/y.mp4", 20 << 20, 15),
            ("n/z.mp4", 20 << 20, 16),
            ("same", 5, 4),
        ]);
        let pairing = Pairing::of(&old, &new);
        let found = paths(&drafts(&pairing, &old, &new), &new);
        let expected = [
            ('a', &["n/x.mp4"][..]),
            ('f', &["n/y.mp4"]),
            ('f', &["n/z.mp4"]),
            ('t', &["a.css", "a.js"]),
            ('t', &["b.js"]),
            ('a', &["big.db"]),
        ];
        let expected = expected.map(|(kind, paths)| {
            let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
            (kind, paths)
        });
        assert_eq!(found, expected);
    }
}
