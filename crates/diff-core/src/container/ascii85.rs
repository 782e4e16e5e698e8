use super::inflate::{Output, PLACE};
use crate::error::DeltaError;
use crate::wire::{Reader, put_varint};

/// How ASCII85 text is broken into lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lines {
    /// Digits in each line but the last; zero if all stand in one.
    pub(crate) width: u16,
    /// How a line ends.
    pub(crate) end: LineEnd,
    /// Whether a line ends before the `~>` that closes the text.
    pub(crate) closing_line: bool,
}

/// How a line of text ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LineEnd {
    /// By a line feed.
    Lf,
    /// By a carriage return and a line feed.
    CrLf,
    /// By a carriage return.
    Cr,
}

impl Lines {
    /// Returns how `text` seems to be broken, up to its `~>`.
    pub(crate) fn of(text: &[u8]) -> Option<Lines> {
        let close = text.iter().position(|byte| *byte == b'~')?;
        let digits = text.get(..close)?;
        let ends = |byte: &u8| matches!(byte, b'\r' | b'\n');
        let first = digits.iter().position(ends);
        let end = match first.and_then(|first| digits.get(first..)) {
            Some([b'\r', b'\n', ..]) => LineEnd::CrLf,
            Some([b'\r', ..]) => LineEnd::Cr,
            _ => LineEnd::Lf,
        };
        let closing_line = digits.last().is_some_and(ends);
        let text_end = close - if closing_line { end.bytes().len() } else { 0 };
        let width = first.filter(|first| *first < text_end).unwrap_or(0);
        Some(Lines {
            width: u16::try_from(width).ok()?,
            end,
            closing_line,
        })
    }

    /// Appends the lines' shape: the width as a varint, then a byte for the end (0 LF, 1 CR LF,
    /// 2 CR), plus 4 where a line ends before the `~>`.
    pub(crate) fn encode(self, out: &mut Vec<u8>) {
        put_varint(out, u64::from(self.width));
        let end = match self.end {
            LineEnd::Lf => 0,
            LineEnd::CrLf => 1,
            LineEnd::Cr => 2,
        };
        out.push(end | u8::from(self.closing_line) << 2);
    }

    /// Reads the lines' shape.
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Lines, DeltaError> {
        let told = reader.varint()?;
        let width = u16::try_from(told).map_err(|_| {
            reader.malformed(format!("a line is at most {} wide, found {told}", u16::MAX))
        })?;
        let byte = reader.byte()?;
        let no_end = |reader: &Reader<'_>| {
            reader.malformed(format!("lines end by 0 to 2, and 4 more, found {byte}"))
        };
        let end = match byte & 3 {
            0 => LineEnd::Lf,
            1 => LineEnd::CrLf,
            2 => LineEnd::Cr,
            _ => return Err(no_end(reader)),
        };
        if byte > 7 {
            return Err(no_end(reader));
        }
        Ok(Lines {
            width,
            end,
            closing_line: byte & 4 != 0,
        })
    }
}

impl LineEnd {
    fn bytes(self) -> &'static [u8] {
        match self {
            LineEnd::Lf => b"\n",
            LineEnd::CrLf => b"\r\n",
            LineEnd::Cr => b"\r",
        }
    }
}

/// Decodes text up to its `~>`, handing on pieces of some KiB, and returns its length with the `~>`.
pub(crate) fn decode(text: &[u8], out: &mut Output<'_>) -> Result<usize, DeltaError> {
    let no_text = |at: usize| {
        let found = match text.get(at) {
            Some(byte) => format!("{byte:02x} does not go on with ASCII85 text"),
            None => "ASCII85 text ends without ~>".to_owned(),
        };
        DeltaError::malformed(PLACE, at, found)
    };
    let mut piece = Vec::with_capacity(PIECE_BYTES + 4);
    let mut value = 0_u64;
    let mut digits = 0;
    for (at, byte) in text.iter().enumerate() {
        match byte {
            b'!'..=b'u' => {
                value = value * 85 + u64::from(byte - b'!');
                digits += 1;
                if digits == 5 {
                    let group = u32::try_from(value).map_err(|_| no_text(at))?;
                    piece.extend(group.to_be_bytes());
                    (value, digits) = (0, 0);
                }
            }
            b'z' if digits == 0 => piece.extend([0; 4]),
            0 | b'\t' | b'\n' | 0x0c | b'\r' | b' ' => {}
            b'~' if text.get(at + 1) == Some(&b'>') && digits != 1 => {
                if digits > 1 {
                    for _ in digits..5 {
                        value = value * 85 + 84;
                    }
                    let group = u32::try_from(value).map_err(|_| no_text(at))?;
                    piece.extend(group.to_be_bytes().iter().take(digits - 1));
                }
                out(&piece)?;
                return Ok(at + 2);
            }
            _ => return Err(no_text(at)),
        }
        if piece.len() >= PIECE_BYTES {
            out(&piece)?;
            piece.clear();
        }
    }
    Err(no_text(text.len()))
}

/// Writes bytes as ASCII85 text.
pub(crate) struct Encoder {
    lines: Lines,
    group: Vec<u8>,
    column: u16,
    text: Vec<u8>,
}

impl Encoder {
    /// Returns an encoder of text with such lines.
    pub(crate) fn new(lines: Lines) -> Encoder {
        Encoder {
            lines,
            group: Vec::with_capacity(4),
            column: 0,
            text: Vec::new(),
        }
    }

    /// Writes the next bytes.
    pub(crate) fn write(&mut self, bytes: &[u8], out: &mut Output<'_>) -> Result<(), DeltaError> {
        for byte in bytes {
            self.group.push(*byte);
            if self.group.len() == 4 {
                self.put_group();
            }
            if self.text.len() >= PIECE_BYTES {
                out(&self.text)?;
                self.text.clear();
            }
        }
        Ok(())
    }

    /// Writes the last group and the `~>`.
    pub(crate) fn finish(mut self, out: &mut Output<'_>) -> Result<(), DeltaError> {
        if !self.group.is_empty() {
            self.put_group();
        }
        if self.lines.closing_line {
            self.text.extend(self.lines.end.bytes());
        }
        self.text.extend(b"~>");
        out(&self.text)
    }

    fn put_group(&mut self) {
        let mut bytes = [0; 4];
        bytes
            .iter_mut()
            .zip(&self.group)
            .for_each(|(to, from)| *to = *from);
        let digits = self.group.len() + 1;
        self.group.clear();
        let mut value = u32::from_be_bytes(bytes);
        if value == 0 && digits == 5 {
            return self.put_digit(b'z');
        }
        let mut text = [0; 5];
        for digit in text.iter_mut().rev() {
            let [low, ..] = (value % 85).to_le_bytes();
            *digit = b'!' + low;
            value /= 85;
        }
        for digit in text.into_iter().take(digits) {
            self.put_digit(digit);
        }
    }

    fn put_digit(&mut self, digit: u8) {
        if self.lines.width > 0 && self.column == self.lines.width {
            self.text.extend(self.lines.end.bytes());
            self.column = 0;
        }
        self.text.push(digit);
        self.column = self.column.saturating_add(1);
    }
}

/// Text and bytes are handed on in pieces of about so many bytes.
const PIECE_BYTES: usize = 4 << 10;
