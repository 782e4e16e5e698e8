use super::ascii85::Lines;
use super::trials::{Candidate, Trials};
use super::unwrap::is_zlib_header;
use super::wrapper::{Shape, Wrapper};
use super::zlib;

/// Opens the stream object whose keyword `stream` stands at `at`.
pub(crate) fn candidate(file: &[u8], at: usize, trials: &mut Trials<'_>) -> Option<Candidate> {
    let start = match file.get(at + KEYWORD_BYTES..)? {
        [b'\r', b'\n', ..] => at + KEYWORD_BYTES + 2,
        [b'\n' | b'\r', ..] => at + KEYWORD_BYTES + 1,
        _ => return None,
    };
    let data = file.get(start..)?;
    if is_zlib_header(*data.first_chunk()?) {
        let found = zlib::candidate(file, start, trials);
        if let Some(found) = found.or_else(|| unsealed(file, start, trials)) {
            return Some(found);
        }
    }
    trials.charge(DICTIONARY_BYTES)?;
    let dictionary = file.get(at.saturating_sub(DICTIONARY_BYTES)..at)?;
    let names_text = |name: &[u8]| dictionary.windows(name.len()).any(|window| window == name);
    if names_text(b"/ASCII85Decode") || names_text(b"/A85") {
        return text(file, start, trials);
    }
    None
}

/// Opens a stream whose Adler-32 is wrong or missing, as some writers leave it: as bare deflate data.
fn unsealed(file: &[u8], start: usize, trials: &mut Trials<'_>) -> Option<Candidate> {
    let start = start + 2;
    let (found, plain) = trials.inflate(Shape::Raw, file, start)?;
    let behind = file.get(found.end..)?;
    let mut behind = behind
        .get(..behind.len().min(LONGEST_END))?
        .windows(KEYWORD_BYTES + 3);
    behind
        .any(|window| window == b"endstream")
        .then_some(Candidate {
            range: start..found.end,
            wrapper: Wrapper::Raw,
            plain,
            image: None,
        })
}

/// Opens a zlib stream that is written as ASCII85 text.
fn text(file: &[u8], start: usize, trials: &mut Trials<'_>) -> Option<Candidate> {
    let digits = |byte: &u8| matches!(byte, b'!'..=b'u' | b'z' | b'\r' | b'\n');
    let length = file
        .get(start..)?
        .iter()
        .take_while(|byte| digits(byte))
        .count();
    trials.charge(length)?;
    if file.get(start + length) != Some(&b'~') {
        return None;
    }
    let (found, plain) = trials.inflate(Shape::Ascii85, file, start)?;
    Some(Candidate {
        range: start..found.end,
        wrapper: Wrapper::Ascii85 {
            header: found.header,
            lines: Lines::of(file.get(start..found.end)?)?,
        },
        plain,
        image: None,
    })
}

const KEYWORD_BYTES: usize = b"stream".len();

/// How far back a stream's dictionary is looked through.
const DICTIONARY_BYTES: usize = 512;

/// How far behind an unsealed stream its end is looked for: an Adler-32, a line's end, the keyword.
const LONGEST_END: usize = 16;
