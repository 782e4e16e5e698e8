use super::trials::{Candidate, Trials, le16, le32};
use super::wrapper::{Shape, Wrapper};

/// Opens the gzip member that starts at `at`.
pub(crate) fn candidate(file: &[u8], at: usize, trials: &mut Trials<'_>) -> Option<Candidate> {
    let flags = *file.get(at + 3)?;
    if flags & RESERVED != 0 {
        return None;
    }
    let mut start = at + FIXED_HEADER_BYTES;
    if flags & EXTRA != 0 {
        start += 2 + usize::from(le16(file, start)?);
    }
    for text in [NAME, COMMENT] {
        if flags & text != 0 {
            trials.charge(LONGEST_TEXT)?;
            let name = file.get(start..)?.iter().take(LONGEST_TEXT);
            start += 1 + name.clone().position(|byte| *byte == 0)?;
        }
    }
    if flags & HEADER_CRC != 0 {
        start += 2;
    }
    let (found, plain) = trials.inflate(Shape::Raw, file, start)?;
    let length = u32::try_from(plain.len()).ok()?;
    let proved = le32(file, found.end) == Some(crc32fast::hash(&plain))
        && le32(file, found.end + 4) == Some(length);
    proved.then_some(Candidate {
        range: start..found.end,
        wrapper: Wrapper::Raw,
        plain,
        image: None,
    })
}

const HEADER_CRC: u8 = 2;
const EXTRA: u8 = 4;
const NAME: u8 = 8;
const COMMENT: u8 = 16;
const RESERVED: u8 = 0xe0;

/// A member's bytes in front of the optional fields.
const FIXED_HEADER_BYTES: usize = 10;

/// The longest name or comment that is looked through.
const LONGEST_TEXT: usize = 4 << 10;
