/// The part of a file that a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it, also where the range is none that a server has to understand.
    Whole,
    /// The bytes from the first to the one behind the last.
    Bytes { from: u64, to: u64 },
    /// None: it begins behind the last byte.
    PastEnd,
}

impl Part {
    /// Returns the first byte that a `Range` header asks for, as far as it says so: 0 where it counts
    /// from the end.
    pub(super) fn first(header: &str) -> u64 {
        match Part::of(Some(header), u64::MAX) {
            Part::Bytes { from, .. } if !header.trim().starts_with("bytes=-") => from,
            _ => 0,
        }
    }

    /// Returns the part of a file of `length` bytes that a `Range` header asks for: a single range, as
    /// every client of ours asks.
    pub(super) fn of(header: Option<&str>, length: u64) -> Part {
        let asked = header.and_then(|header| header.trim().strip_prefix("bytes="));
        let Some((first, last)) = asked.and_then(|range| range.split_once('-')) else {
            return Part::Whole;
        };
        let (first, last) = (first.trim(), last.trim());
        if first.is_empty() {
            return match number(last) {
                Some(0) => Part::PastEnd,
                Some(_) if length == 0 => Part::PastEnd,
                Some(count) => Part::Bytes {
                    from: length.saturating_sub(count),
                    to: length,
                },
                None => Part::Whole,
            };
        }
        let Some(from) = number(first) else {
            return Part::Whole;
        };
        let to = match last {
            "" => length,
            last => match number(last) {
                Some(last) if last >= from => last.saturating_add(1).min(length),
                _ => return Part::Whole,
            },
        };
        if from >= length {
            return Part::PastEnd;
        }
        Part::Bytes { from, to }
    }
}

fn number(text: &str) -> Option<u64> {
    let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // What is too large for a number is behind the end of every file.
    is_digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_the_part_that_the_table_says() {
        let bytes = |from, to| Part::Bytes { from, to };
        for (header, expected) in [
            ("bytes=0-", bytes(0, 10)),
            ("bytes=4-", bytes(4, 10)),
            ("bytes=4-5", bytes(4, 6)),
            ("bytes=4-99999999999999999999999", bytes(4, 10)),
            ("bytes=-3", bytes(7, 10)),
            ("bytes=-30", bytes(0, 10)),
            ("bytes=-0", Part::PastEnd),
            ("bytes=10-", Part::PastEnd),
            ("bytes=99999999999999999999999-", Part::PastEnd),
            ("bytes=5-4", Part::Whole),
            ("bytes=1-2,4-5", Part::Whole),
            ("bytes=a-", Part::Whole),
            ("bytes=+1-", Part::Whole),
            ("bytes=", Part::Whole),
            ("lines=1-2", Part::Whole),
        ] {
            assert_eq!(Part::of(Some(header), 10), expected, "{header}");
        }
        assert_eq!(Part::of(None, 10), Part::Whole);
        for (header, expected) in [
            ("bytes=4-5", 4),
            ("bytes=-3", 0),
            ("bytes=5-4", 0),
            ("x", 0),
        ] {
            assert_eq!(Part::first(header), expected, "{header}");
        }
        assert_eq!(Part::of(Some("bytes=0-"), 0), Part::PastEnd);
        assert_eq!(Part::of(Some("bytes=-5"), 0), Part::PastEnd);
    }
}
