use super::trials::{Candidate, Trials, le16, le32};
use super::wrapper::{Shape, Wrapper};

/// Opens the deflated entry whose local header stands at `at`. The central directory is not needed:
/// a deflate stream says itself where it ends, and its CRC-32 stands in the header or behind it.
pub(crate) fn candidate(file: &[u8], at: usize, trials: &mut Trials<'_>) -> Option<Candidate> {
    let header = file.get(at..)?;
    let flags = le16(header, 6)?;
    let method = le16(header, 8)?;
    if flags & ENCRYPTED != 0 || method != DEFLATED {
        return None;
    }
    let crc = le32(header, 14)?;
    let claimed = u64::from(le32(header, 22)?);
    if claimed != u64::from(u32::MAX) && !trials.may_take(claimed) {
        return None;
    }
    let names = usize::from(le16(header, 26)?) + usize::from(le16(header, 28)?);
    let start = at + LOCAL_HEADER_BYTES + names;
    let (found, plain) = trials.inflate(Shape::Raw, file, start)?;
    let behind = file.get(found.end..)?;
    let descriptor = behind
        .strip_prefix(b"PK\x07\x08")
        .and_then(|field| le32(field, 0));
    let plain_crc = crc32fast::hash(&plain);
    let proved = crc == plain_crc
        || flags & DESCRIPTOR != 0
            && (descriptor == Some(plain_crc) || le32(behind, 0) == Some(plain_crc));
    proved.then_some(Candidate {
        range: start..found.end,
        wrapper: Wrapper::Raw,
        plain,
        image: None,
    })
}

/// The method of entries that are deflated.
const DEFLATED: u16 = 8;

/// The flags of encrypted entries, weakly or strongly.
const ENCRYPTED: u16 = 0x41;

/// The flag of entries whose CRC-32 and lengths stand behind their data.
const DESCRIPTOR: u16 = 8;

/// A local header's bytes in front of the entry's name.
const LOCAL_HEADER_BYTES: usize = 30;
