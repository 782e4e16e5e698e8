use crate::deflate::{Block, BlockKind, Reader, Token};

/// A stream, read whole.
pub(super) struct Parsed {
    /// Its blocks.
    pub(super) blocks: Vec<ParsedBlock>,
    /// The tokens of all blocks.
    pub(super) tokens: Vec<Token>,
    /// The bits that fill its last byte.
    pub(super) padding: u8,
}

/// A block of a stream.
pub(super) struct ParsedBlock {
    /// Its head.
    pub(super) block: Block,
    /// The number of its tokens.
    pub(super) tokens: usize,
    /// The number of bytes that they stand for.
    pub(super) bytes: usize,
}

impl Parsed {
    /// Reads the stream that `compressed` is, nothing behind it; `None` when it is none, or not one of
    /// as many bytes as `plain` has.
    pub(super) fn read(compressed: &[u8], plain: &[u8]) -> Option<Parsed> {
        let mut reader = Reader::new(compressed);
        let (mut blocks, mut tokens) = (Vec::new(), Vec::new());
        let mut end = 0;
        while let Some(block) = reader.block().ok()? {
            let (first, start) = (tokens.len(), end);
            while let Some(token) = reader.token().ok()? {
                end += token.length();
                if end > plain.len() {
                    return None;
                }
                tokens.push(token);
            }
            blocks.push(ParsedBlock {
                block,
                tokens: tokens.len() - first,
                bytes: end - start,
            });
        }
        let (length, padding) = reader.end().ok()?;
        let is_whole = length == compressed.len() && end == plain.len();
        is_whole.then_some(Parsed {
            blocks,
            tokens,
            padding,
        })
    }

    /// Returns the first tokens, as one block, and the number of bytes that they stand for, until these come
    /// to so many.
    pub(super) fn start(&self, tokens: usize, most_bytes: usize) -> (Parsed, usize) {
        let mut bytes = 0;
        let within = |token: &&Token| {
            let is_within = bytes < most_bytes;
            bytes += if is_within { token.length() } else { 0 };
            is_within
        };
        let count = self.tokens.iter().take(tokens).take_while(within).count();
        let tokens = self.tokens.get(..count).unwrap_or(&self.tokens);
        let block = ParsedBlock {
            block: Block {
                last: true,
                kind: BlockKind::Fixed,
            },
            tokens: tokens.len(),
            bytes,
        };
        let start = Parsed {
            blocks: vec![block],
            tokens: tokens.to_vec(),
            padding: 0,
        };
        (start, bytes)
    }
}
