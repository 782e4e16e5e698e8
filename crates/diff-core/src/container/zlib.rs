use super::trials::{Candidate, Trials};
use super::wrapper::{Shape, Wrapper};

/// Opens the zlib stream that may start at `at`, if its Adler-32 is right.
pub(crate) fn candidate(file: &[u8], at: usize, trials: &mut Trials<'_>) -> Option<Candidate> {
    let (found, plain) = trials.inflate(Shape::Zlib, file, at)?;
    (plain.len() >= FEWEST_PLAIN_BYTES).then_some(Candidate {
        range: at..found.end,
        wrapper: Wrapper::Zlib {
            header: found.header,
        },
        plain,
        image: None,
    })
}

/// The fewest bytes that a stream found by trial must have, in number enough that chance does not
/// make one.
const FEWEST_PLAIN_BYTES: usize = 48;
