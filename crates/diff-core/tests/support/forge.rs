//! Deltas that no differ writes.

use super::MemoryTree;

/// A delta told field by field, each as wrong as a test wants it.
#[derive(Clone)]
pub(crate) struct Forge {
    version: u8,
    recompressors: u64,
    old_digest: [u8; 8],
    records: Vec<Vec<u8>>,
    records_claimed: Option<u64>,
    groups: Vec<u8>,
    group_count: u64,
    payload: Vec<u8>,
}

impl Forge {
    pub(crate) fn over(old: &MemoryTree) -> Forge {
        let digest = old.listing.digest();
        Forge {
            version: 1,
            recompressors: 7,
            old_digest: digest.as_bytes()[..8].try_into().unwrap(),
            records: Vec::new(),
            records_claimed: None,
            groups: Vec::new(),
            group_count: 0,
            payload: Vec::new(),
        }
    }

    /// Tells what comes as version 2 does.
    pub(crate) fn newest(mut self) -> Forge {
        self.version = 2;
        self
    }

    /// Tells which recompressors are needed, a bit for each.
    pub(crate) fn recompressors(mut self, bits: u64) -> Forge {
        self.recompressors = bits;
        self
    }

    pub(crate) fn record(mut self, record: Vec<u8>) -> Forge {
        self.records.push(record);
        self
    }

    pub(crate) fn records_claimed(mut self, count: u64) -> Forge {
        self.records_claimed = Some(count);
        self
    }

    pub(crate) fn groups_claimed(mut self, count: u64) -> Forge {
        self.group_count = count;
        self
    }

    /// Starts a group; members are told as the format does, relative to the one before and one.
    pub(crate) fn group(mut self, members: &[i64], frames: u64) -> Forge {
        self.group_count += 1;
        varint(&mut self.groups, members.len() as u64);
        for member in members {
            signed(&mut self.groups, *member);
        }
        let frames = if self.version > 1 {
            frames << 1
        } else {
            frames
        };
        varint(&mut self.groups, frames);
        self
    }

    /// Starts a group of one frame that is opened, and makes the first built file.
    pub(crate) fn opened_group(mut self, content: u64, memory: u64) -> Forge {
        self.group_count += 1;
        for field in [1, 0, 1 << 1 | 1, content, memory] {
            varint(&mut self.groups, field);
        }
        self
    }

    /// Adds a frame of version 2 with one source, whose steps are these bytes.
    pub(crate) fn frame_with_steps(
        mut self,
        method: u8,
        index: i64,
        steps: &[u8],
        decoded: u64,
        bytes: &[u8],
    ) -> Forge {
        self.groups.extend([method, 1 << 1]);
        signed(&mut self.groups, index);
        self.groups.extend_from_slice(steps);
        varint(&mut self.groups, decoded);
        varint(&mut self.groups, bytes.len() as u64);
        self.payload(bytes)
    }

    /// Adds a frame; the first number of a span is relative to the span before and one.
    pub(crate) fn frame(
        mut self,
        method: u8,
        spans: &[(i64, u64, u64)],
        decoded: u64,
        bytes: &[u8],
    ) -> Forge {
        self.groups.push(method);
        let references = if spans.is_empty() {
            0
        } else {
            spans.len() as u64 + 1
        };
        varint(&mut self.groups, references);
        for (index, offset, length) in spans {
            signed(&mut self.groups, *index);
            varint(&mut self.groups, *offset);
            varint(&mut self.groups, *length);
        }
        varint(&mut self.groups, decoded);
        varint(&mut self.groups, bytes.len() as u64);
        self.payload(bytes)
    }

    pub(crate) fn frame_claiming(mut self, method: u8, decoded: u64, encoded: u64) -> Forge {
        self.groups.extend([method, 0]);
        varint(&mut self.groups, decoded);
        varint(&mut self.groups, encoded);
        self
    }

    pub(crate) fn payload(mut self, bytes: &[u8]) -> Forge {
        self.payload.extend_from_slice(bytes);
        self
    }

    pub(crate) fn delta(&self) -> Vec<u8> {
        let mut plan = Vec::new();
        if self.version > 1 {
            varint(&mut plan, self.recompressors);
        }
        let records = self.records_claimed.unwrap_or(self.records.len() as u64);
        varint(&mut plan, records);
        plan.extend(self.records.iter().flatten());
        varint(&mut plan, self.group_count);
        plan.extend(&self.groups);
        self.raw_plan(&plan)
    }

    /// Returns a delta whose plan is these bytes behind the digest of the old tree.
    pub(crate) fn raw_plan(&self, plan: &[u8]) -> Vec<u8> {
        let mut delta = vec![b'S', b'D', b'L', b'T', self.version, 0];
        delta.extend(&self.payload);
        delta.extend(self.old_digest);
        delta.extend(plan);
        let length = u32::try_from(plan.len() + 8).unwrap().to_le_bytes();
        delta.extend(length);
        delta.extend(length);
        delta
    }
}

pub(crate) fn keep(count: u64) -> Vec<u8> {
    number((count - 1) << 2)
}

pub(crate) fn skip(count: u64) -> Vec<u8> {
    number((count - 1) << 2 | 1)
}

pub(crate) fn edit(grown: i64) -> Vec<u8> {
    number(zigzag(grown) << 2 | 2)
}

pub(crate) fn insert_old(shared: u64, suffix: &str, index: u64) -> Vec<u8> {
    insert(shared, suffix, index << 2)
}

pub(crate) fn insert_moved(prefix: &str, first: u64, more: u64, stripped: u64) -> Vec<u8> {
    let mut bytes = insert(0, prefix, first << 2 | 3);
    varint(&mut bytes, more);
    varint(&mut bytes, stripped);
    bytes
}

pub(crate) fn insert_same(shared: u64, suffix: &str, index: u64) -> Vec<u8> {
    insert(shared, suffix, index << 2 | 1)
}

pub(crate) fn insert_built(shared: u64, suffix: &str, length: u64) -> Vec<u8> {
    insert(shared, suffix, length << 2 | 2)
}

fn insert(shared: u64, suffix: &str, content: u64) -> Vec<u8> {
    let mut bytes = number(shared << 2 | 3);
    varint(&mut bytes, suffix.len() as u64);
    bytes.extend_from_slice(suffix.as_bytes());
    varint(&mut bytes, content);
    bytes
}

fn number(value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    varint(&mut bytes, value);
    bytes
}

fn signed(bytes: &mut Vec<u8>, value: i64) {
    varint(bytes, zigzag(value));
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

pub(crate) fn varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        bytes.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    bytes.push(value.to_le_bytes()[0]);
}
