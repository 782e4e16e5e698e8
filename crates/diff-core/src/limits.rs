/// What a delta may claim before it is refused: a ceiling for each resource, each with the attack
/// that it stops.
///
/// The defaults suit a school laptop with 2 GiB of memory. A tree or delta that a ceiling refuses is
/// refused before memory is allocated or a file is written for it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Files in a tree: stops ten million entries of no length from filling a disk's inodes.
    pub max_files: u64,
    /// Bytes of one file: stops a claim of exabytes from overflowing sums.
    pub max_file_bytes: u64,
    /// Bytes of a whole tree: stops a small delta from filling the disk.
    pub max_tree_bytes: u64,
    /// Bytes of a delta's plan once decompressed: stops a bomb in the part that is read whole.
    pub max_plan_bytes: u64,
    /// Bytes of old files that one frame may ask to have in memory at once.
    pub max_reference_bytes: u64,
    /// Bytes that one frame may decode to: stops one short frame from going on for ever.
    pub max_frame_bytes: u64,
    /// Bytes of its own output that a frame's decoder may keep: bounds the memory of one frame.
    pub max_window_bytes: u64,
    /// Bytes of private memory that all frames decoding at once may take, mapped files aside; a frame
    /// that needs more by itself is refused.
    pub max_memory_bytes: u64,
    /// Bytes of one compressed stream's plaintext, inflated from an old file or compressed again for a
    /// new one: stops a bomb within a container.
    pub max_stream_bytes: u64,
    /// Bytes of the rows of an image that are told pixel by pixel, and closed as they are made: stops a bomb
    /// that holds nothing.
    pub max_image_bytes: u64,
    /// Frames in a delta, sources and steps that all of them refer to, and steps of all scripts: stops a
    /// plan, or a script, of endless small ones.
    pub max_frames: u64,
}

impl Limits {
    /// Returns the ceilings that every client keeps unless its host sets others.
    pub const fn standard() -> Limits {
        Limits {
            max_files: 1_000_000,
            max_file_bytes: 1 << 40,
            max_tree_bytes: 1 << 42,
            max_plan_bytes: 64 << 20,
            max_reference_bytes: 64 << 20,
            max_frame_bytes: 64 << 20,
            max_window_bytes: 8 << 20,
            max_memory_bytes: 60 << 20,
            max_stream_bytes: 16 << 20,
            max_image_bytes: 128 << 20,
            max_frames: 4_000_000,
        }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits::standard()
    }
}
