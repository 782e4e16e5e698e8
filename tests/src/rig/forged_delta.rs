//! Deltas that no differ writes: what the format lets a malicious publisher say.

use diff_core::Listing;

/// A delta from nothing, told field by field as the format's document has it.
#[derive(Debug, Clone, Default)]
pub struct ForgedDelta {
    records: Vec<u8>,
    record_count: u64,
    built: u64,
    frames: Vec<u8>,
    decoded: u64,
    encoded: u64,
    method: u8,
}

impl ForgedDelta {
    /// Returns a delta that makes a tree of no files.
    pub fn new() -> ForgedDelta {
        ForgedDelta::default()
    }

    /// Adds a file with any path whatever, in the order of the calls.
    pub fn file(mut self, path: &str, content: &[u8]) -> ForgedDelta {
        self.frames.extend_from_slice(content);
        self.decoded += content.len() as u64;
        self.encoded += content.len() as u64;
        self.record(path.as_bytes(), content.len() as u64);
        self
    }

    /// Adds a file whose length is claimed, and no byte of it.
    pub fn claimed_file(mut self, path: &str, length: u64) -> ForgedDelta {
        self.decoded = self.decoded.saturating_add(length);
        self.record(path.as_bytes(), length);
        self
    }

    /// Says that there are so many records, whatever there are.
    pub fn claimed_records(mut self, count: u64) -> ForgedDelta {
        self.record_count = count;
        self
    }

    /// Says that what was added decodes from `frame` by the method of this number.
    pub fn frame(mut self, method: u8, frame: &[u8]) -> ForgedDelta {
        self.method = method;
        self.frames = frame.to_vec();
        self.encoded = frame.len() as u64;
        self
    }

    /// Returns the delta's bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let plan = self.plan();
        let length = plan.len() as u64;
        self.around(&plan, length)
    }

    /// Returns the delta's bytes with `plan` in the place of its plan, said to decode to `decoded`
    /// bytes.
    pub fn around(&self, plan: &[u8], decoded: u64) -> Vec<u8> {
        let mut bytes = b"SDLT\x01\x00".to_vec();
        bytes.extend_from_slice(&self.frames);
        bytes.extend_from_slice(plan);
        for length in [decoded, plan.len() as u64] {
            bytes.extend(u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
        }
        bytes
    }

    /// Returns the plan's bytes, not compressed.
    pub fn plan(&self) -> Vec<u8> {
        let mut plan = Listing::empty().digest().as_bytes()[..8].to_vec();
        varint(&mut plan, self.record_count);
        plan.extend_from_slice(&self.records);
        // One group makes all files, in their order.
        varint(&mut plan, u64::from(self.built > 0));
        if self.built > 0 {
            varint(&mut plan, self.built);
            plan.extend((0..self.built).map(|_| 0));
            varint(&mut plan, u64::from(self.decoded > 0));
        }
        if self.decoded > 0 {
            plan.push(self.method);
            varint(&mut plan, 0);
            varint(&mut plan, self.decoded);
            varint(&mut plan, self.encoded);
        }
        plan
    }

    fn record(&mut self, path: &[u8], length: u64) {
        const INSERT: u64 = 3;
        const BUILT: u64 = 2;
        varint(&mut self.records, INSERT);
        varint(&mut self.records, path.len() as u64);
        self.records.extend_from_slice(path);
        varint(&mut self.records, length << 2 | BUILT);
        self.record_count += 1;
        self.built += 1;
    }
}

fn varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push((value & 0x7f) as u8);
}
