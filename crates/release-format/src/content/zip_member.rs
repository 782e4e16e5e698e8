use std::ops::Range;

/// Returns where the data of zip members stands in `bytes`: behind a local header, up to the next
/// signature.
///
/// Headers are believed in nothing but the length of their names, so that a part of a file will do, and
/// members whose lengths come behind them. What only looks like one does no harm: it is found wherever
/// the same bytes are.
pub(super) fn member_data(bytes: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut begun: Option<usize> = None;
    signatures(bytes).filter_map(move |(at, signature)| {
        let data = begun.take().filter(|start| *start <= at);
        if signature == LOCAL_HEADER {
            begun = data_behind(bytes, at);
        }
        data.map(|start| start..at)
    })
}

/// Returns where headers and descriptors of a zip may begin.
fn signatures(bytes: &[u8]) -> impl Iterator<Item = (usize, [u8; 4])> {
    let mut next = 0_usize;
    std::iter::from_fn(move || {
        loop {
            let rest = bytes.get(next..)?;
            let at = next.checked_add(rest.iter().position(|byte| *byte == FIRST)?)?;
            next = at.checked_add(1)?;
            let signature = bytes.get(at..)?.first_chunk::<4>()?;
            if SIGNATURES.contains(signature) {
                return Some((at, *signature));
            }
        }
    })
}

/// Returns where the data begins behind the local header at `at`.
fn data_behind(bytes: &[u8], at: usize) -> Option<usize> {
    let header = bytes.get(at..)?.first_chunk::<HEADER_BYTES>()?;
    let [.., a, b, c, d] = *header;
    let (name, extra) = (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]));
    let start = at
        .checked_add(HEADER_BYTES)?
        .checked_add(usize::from(name))?
        .checked_add(usize::from(extra))?;
    (start <= bytes.len()).then_some(start)
}

const FIRST: u8 = b'P';
const LOCAL_HEADER: [u8; 4] = *b"PK\x03\x04";
/// What follows the data of a member: the next one, its own lengths, or the directory.
const SIGNATURES: [[u8; 4]; 3] = [LOCAL_HEADER, *b"PK\x07\x08", *b"PK\x01\x02"];
/// A local header ends in the lengths of the name and of the extra field behind it.
const HEADER_BYTES: usize = 30;

#[cfg(test)]
mod tests {
    use super::*;

    fn header(name: &str, extra: &[u8]) -> Vec<u8> {
        let mut bytes = LOCAL_HEADER.to_vec();
        bytes.extend([0; 22]);
        bytes.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
        bytes.extend(u16::try_from(extra.len()).unwrap().to_le_bytes());
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(extra);
        bytes
    }

    fn found(bytes: &[u8]) -> Vec<&[u8]> {
        member_data(bytes).map(|range| &bytes[range]).collect()
    }

    #[test]
    fn data_ends_at_the_next_header_the_descriptor_or_the_directory() {
        let mut bytes = b"#!stub".to_vec();
        bytes.extend(header("a", b"xx"));
        bytes.extend(b"first PK data");
        bytes.extend(header("folder/", b""));
        bytes.extend(header("b.html", b""));
        bytes.extend(b"second");
        bytes.extend(b"PK\x07\x08 crc and lengths");
        bytes.extend(header("c", b""));
        bytes.extend(b"third");
        bytes.extend(b"PK\x01\x02 of a");
        bytes.extend(b"PK\x01\x02 of b");
        let expected: [&[u8]; 4] = [b"first PK data", b"", b"second", b"third"];
        assert_eq!(found(&bytes), expected);
    }

    #[test]
    fn headers_that_are_cut_short_or_lie_have_no_data() {
        let whole = [header("name", b"extra"), b"data".to_vec()].concat();
        for length in 0..whole.len() {
            assert_eq!(found(&whole[..length]), [b""; 0], "{length}");
        }
        // The name reaches over the next header, which is taken for itself.
        let mut long = header("n", b"");
        long[26] = 80;
        long.extend(header("m", b""));
        long.extend(b"of m PK\x01\x02");
        long.resize(200, 0);
        assert_eq!(found(&long), [b"of m "]);
    }
}
