use std::collections::BTreeSet;
use std::ops::Range;

use super::planned::{Group, Origin, PlannedFile};
use super::{frames, records};
use crate::error::DeltaError;
use crate::method::Method;
use crate::wire::{Reader, put_varint};
use crate::{Digest, Limits, Listing, Recompressor};

/// What a delta makes of one old tree: every file of the new tree, and how it comes about.
///
/// All lengths, indices and spans of a plan were compared with the old tree and the limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub(super) old: Digest,
    pub(super) files: Vec<PlannedFile>,
    pub(super) groups: Vec<Group>,
    pub(super) recompressors: Vec<Recompressor>,
}

impl Plan {
    /// Returns the plan of `files`, in the order of the new listing, made by `groups`.
    pub(crate) fn new(
        old: Digest,
        files: Vec<PlannedFile>,
        groups: Vec<Group>,
        recompressors: Vec<Recompressor>,
    ) -> Plan {
        Plan {
            old,
            files,
            groups,
            recompressors,
        }
    }

    /// Returns the files of the new tree in the order of its listing.
    pub fn files(&self) -> &[PlannedFile] {
        &self.files
    }

    /// Returns how many bytes applying writes anew.
    pub fn built_bytes(&self) -> u64 {
        let built = self
            .files
            .iter()
            .filter(|file| file.origin == Origin::Built);
        built.map(|file| file.length).sum()
    }

    /// Returns the methods that applying needs, each once, in the order of their numbers.
    pub fn methods(&self) -> Vec<Method> {
        let frames = self.groups.iter().flat_map(|group| &group.frames);
        let methods: BTreeSet<Method> = frames.map(|frame| frame.method).collect();
        methods.into_iter().collect()
    }

    /// Returns the recompressors that applying needs, each once, in the order of their numbers.
    pub fn recompressors(&self) -> &[Recompressor] {
        &self.recompressors
    }

    /// Returns the names of all methods and recompressors that applying needs.
    pub fn needs(&self) -> Vec<&'static str> {
        let methods = self.methods().into_iter().map(Method::name);
        let recompressors = self.recompressors.iter().map(|one| one.name());
        methods.chain(recompressors).collect()
    }

    /// Returns the digest of the listing of the old tree.
    pub(crate) fn old_digest(&self) -> Digest {
        self.old
    }

    /// Returns the groups that make the built files.
    pub(crate) fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// Returns the bytes from which [`Plan::decode`] makes this plan again.
    pub(crate) fn encode(&self, old: &Listing) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(old_prefix(&self.old));
        let bits = self.recompressors.iter().map(|one| 1 << one.id());
        put_varint(&mut out, bits.fold(0, |all, bit: u64| all | bit));
        records::write(&mut out, &self.files, old);
        put_varint(&mut out, self.groups.len() as u64);
        frames::write(&mut out, &self.groups, &self.files, old);
        out
    }

    /// Reads a plan over the tree `old`, whose frames must fill `payload` exactly.
    pub(crate) fn decode(
        bytes: &[u8],
        old: &Listing,
        payload: Range<usize>,
        version: u8,
        limits: &Limits,
    ) -> Result<Plan, DeltaError> {
        let mut reader = Reader::new("plan", bytes);
        let expected = reader.slice(OLD_PREFIX_BYTES)?;
        let old_digest = old.digest();
        let found = old_prefix(&old_digest);
        if expected != found {
            return Err(DeltaError::WrongOld {
                expected: hex(expected),
                found: hex(found),
            });
        }
        let recompressors = match version {
            1 => Vec::new(),
            _ => read_recompressors(&mut reader)?,
        };
        let files = records::read(&mut reader, old, version, limits)?;
        let groups = frames::read(&mut reader, &files, old, payload, version, limits)?;
        reader.finish()?;
        Ok(Plan {
            old: old_digest,
            files,
            groups,
            recompressors,
        })
    }
}

/// Reads which recompressors applying needs: a bit for each.
fn read_recompressors(reader: &mut Reader<'_>) -> Result<Vec<Recompressor>, DeltaError> {
    let mut bits = reader.varint()?;
    let mut needed = Vec::new();
    for recompressor in Recompressor::ALL {
        let bit = 1 << recompressor.id();
        if bits & bit != 0 {
            needed.push(recompressor);
            bits &= !bit;
        }
    }
    match bits {
        0 => Ok(needed),
        bits => Err(DeltaError::UnsupportedRecompressor {
            id: bits.trailing_zeros(),
        }),
    }
}

fn old_prefix(digest: &Digest) -> &[u8] {
    digest
        .as_bytes()
        .get(..OLD_PREFIX_BYTES)
        .unwrap_or_default()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Enough to tell trees apart by accident; whoever forges a tree is caught by the files' digests.
const OLD_PREFIX_BYTES: usize = 8;
