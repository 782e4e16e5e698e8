//! PNG files whose streams are what zlib would have made.

use super::containers::{deflate, zlib};

/// An image of 8 bits a sample.
#[derive(Debug, Clone)]
pub(crate) struct Picture {
    pub(crate) width: usize,
    /// The colour type of PNG.
    pub(crate) colours: u8,
    pub(crate) palette: Vec<u8>,
    pub(crate) alphas: Vec<u8>,
    /// The rows, one after the other.
    pub(crate) pixels: Vec<u8>,
}

impl Picture {
    fn samples(&self) -> usize {
        [1, 0, 3, 1, 2, 0, 4][usize::from(self.colours)]
    }

    /// Returns the same image in colours with alpha.
    pub(crate) fn in_colours(&self) -> Picture {
        assert_eq!(self.colours, 3);
        let colour = |index: &u8| {
            let index = usize::from(*index);
            let colour = &self.palette[3 * index..3 * index + 3];
            let alpha = self.alphas.get(index).copied().unwrap_or(255);
            [colour[0], colour[1], colour[2], alpha]
        };
        Picture {
            width: self.width,
            colours: 6,
            palette: Vec::new(),
            alphas: Vec::new(),
            pixels: self.pixels.iter().flat_map(colour).collect(),
        }
    }

    /// Returns the rows, the first by the first filter, and so on; filters 0 to 2 are at hand.
    pub(crate) fn rows(&self, filters: &[u8]) -> Vec<u8> {
        let samples = self.samples();
        filtered(&self.pixels, self.width * samples, samples, filters)
    }

    /// Returns a PNG file, its pixels cut into chunks of `piece` bytes.
    pub(crate) fn png(&self, filters: &[u8], level: u8, piece: usize) -> Vec<u8> {
        let height = self.pixels.len() / self.width / self.samples();
        let header = Header {
            sides: [self.width, height],
            depth: 8,
            colours: self.colours,
            is_interlaced: false,
        };
        let mut chunks = Vec::new();
        if !self.palette.is_empty() {
            chunks.push((*b"PLTE", self.palette.clone()));
            chunks.push((*b"tRNS", self.alphas.clone()));
        }
        let rows = self.rows(filters);
        let data = zlib(&rows, &deflate(&rows, level));
        chunks.extend(data.chunks(piece).map(|data| (*b"IDAT", data.to_vec())));
        header.file(&chunks)
    }
}

/// Returns rows of so many bytes with their filters: the first by the first one, and so on. Filters 0 to
/// 2 are at hand.
pub(crate) fn filtered(pixels: &[u8], row_bytes: usize, pixel: usize, filters: &[u8]) -> Vec<u8> {
    let mut above = vec![0; row_bytes];
    let mut rows = Vec::new();
    for (row, filter) in pixels.chunks(row_bytes).zip(filters.iter().cycle()) {
        rows.push(*filter);
        for (at, byte) in row.iter().enumerate() {
            let expected = match filter {
                1 => at.checked_sub(pixel).map_or(0, |left| row[left]),
                2 => above[at],
                _ => 0,
            };
            rows.push(byte.wrapping_sub(expected));
        }
        above = row.to_vec();
    }
    rows
}

/// What a PNG file says of its pixels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header {
    pub(crate) sides: [usize; 2],
    pub(crate) depth: u8,
    pub(crate) colours: u8,
    pub(crate) is_interlaced: bool,
}

impl Header {
    /// Returns the file with these chunks between the header and the end.
    pub(crate) fn file(&self, chunks: &[([u8; 4], Vec<u8>)]) -> Vec<u8> {
        let mut header = Vec::new();
        for side in self.sides {
            header.extend(u32::try_from(side).unwrap().to_be_bytes());
        }
        let interlaced = u8::from(self.is_interlaced);
        header.extend([self.depth, self.colours, 0, 0, interlaced]);
        let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
        chunk(&mut file, *b"IHDR", &header);
        for (kind, data) in chunks {
            chunk(&mut file, *kind, data);
        }
        chunk(&mut file, *b"IEND", &[]);
        file
    }
}

fn chunk(file: &mut Vec<u8>, kind: [u8; 4], data: &[u8]) {
    file.extend(u32::try_from(data.len()).unwrap().to_be_bytes());
    let start = file.len();
    file.extend(kind);
    file.extend_from_slice(data);
    let crc = crc32fast::hash(&file[start..]);
    file.extend(crc.to_be_bytes());
}
