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
        let mut above = vec![0; self.width * samples];
        let mut rows = Vec::new();
        let all = self.pixels.chunks(self.width * samples);
        for (row, filter) in all.zip(filters.iter().cycle()) {
            rows.push(*filter);
            for (at, byte) in row.iter().enumerate() {
                let expected = match filter {
                    1 => at.checked_sub(samples).map_or(0, |left| row[left]),
                    2 => above[at],
                    _ => 0,
                };
                rows.push(byte.wrapping_sub(expected));
            }
            above = row.to_vec();
        }
        rows
    }

    /// Returns a PNG file, its pixels cut into chunks of `piece` bytes.
    pub(crate) fn png(&self, filters: &[u8], level: u8, piece: usize) -> Vec<u8> {
        let rows = self.rows(filters);
        let height = self.pixels.len() / self.width / self.samples();
        let mut header = Vec::new();
        for side in [self.width, height] {
            header.extend(u32::try_from(side).unwrap().to_be_bytes());
        }
        header.extend([8, self.colours, 0, 0, 0]);
        let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
        chunk(&mut file, *b"IHDR", &header);
        if !self.palette.is_empty() {
            chunk(&mut file, *b"PLTE", &self.palette);
            chunk(&mut file, *b"tRNS", &self.alphas);
        }
        for data in zlib(&rows, &deflate(&rows, level)).chunks(piece) {
            chunk(&mut file, *b"IDAT", data);
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
