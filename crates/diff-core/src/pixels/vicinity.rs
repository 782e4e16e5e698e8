use crate::mixing::hash;

/// The pixels around one, each as a number. What is outside the image is what is nearest inside of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Vicinity {
    pub(super) west: u64,
    pub(super) north: u64,
    pub(super) north_west: u64,
    pub(super) north_east: u64,
    pub(super) far_west: u64,
    pub(super) far_north: u64,
    pub(super) far_north_east: u64,
}

impl Vicinity {
    /// Returns the pixels around place `x` of the first of three rows, of which the others are those above
    /// it, as far as they are `known`.
    #[inline]
    pub(super) fn of<const BYTES: usize>(
        rows: &[Vec<[u8; BYTES]>; 3],
        known: usize,
        x: usize,
    ) -> Vicinity {
        let [row, above, far] = rows;
        let has_east = x + 1 < row.len();
        let west = match (x, known) {
            (0, 0) => 0,
            (0, _) => number(above[0]),
            _ => number(row[x - 1]),
        };
        let north = if known > 0 { number(above[x]) } else { west };
        let far_north = if known > 1 { number(far[x]) } else { north };
        let north_east = match known > 0 && has_east {
            true => number(above[x + 1]),
            false => north,
        };
        Vicinity {
            west,
            north,
            north_west: match known > 0 && x > 0 {
                true => number(above[x - 1]),
                false => north,
            },
            north_east,
            far_west: if x > 1 { number(row[x - 2]) } else { west },
            far_north,
            far_north_east: match known > 1 && has_east {
                true => number(far[x + 1]),
                false => north_east,
            },
        }
    }

    /// Returns which of the pixels are the same, a bit for each pair.
    #[inline]
    pub(super) fn pattern(&self) -> usize {
        usize::from(self.west == self.north)
            | usize::from(self.north == self.north_east) << 1
            | usize::from(self.west == self.north_west) << 2
            | usize::from(self.north == self.north_west) << 3
            | usize::from(self.far_west == self.west) << 4
            | usize::from(self.far_north == self.north) << 5
            | usize::from(self.far_north_east == self.north_east) << 6
    }

    /// Returns hashes of two, four and all of the pixels.
    #[inline]
    pub(super) fn hashes(&self) -> [u32; 3] {
        let two = hash(1, folded(self.west), folded(self.north));
        let corners = hash(2, folded(self.north_west), folded(self.north_east));
        let four = hash(3, two, corners);
        let far = hash(4, folded(self.far_north), folded(self.far_north_east));
        [
            two,
            four,
            hash(5, four, hash(6, folded(self.far_west), far)),
        ]
    }
}

/// Returns a pixel as a number, its first byte lowest.
#[inline]
pub(super) fn number<const BYTES: usize>(pixel: [u8; BYTES]) -> u64 {
    let mut wide = [0; 8];
    wide[..BYTES].copy_from_slice(&pixel);
    u64::from_le_bytes(wide)
}

/// Returns the pixel that a number is.
#[inline]
pub(super) fn pixel<const BYTES: usize>(number: u64) -> [u8; BYTES] {
    let mut pixel = [0; BYTES];
    pixel.copy_from_slice(&number.to_le_bytes()[..BYTES]);
    pixel
}

#[inline]
fn folded(pixel: u64) -> u32 {
    let [a, b, c, d, e, f, g, h] = pixel.to_le_bytes();
    let high = u32::from_le_bytes([e, f, g, h]);
    u32::from_le_bytes([a, b, c, d]) ^ high.wrapping_mul(HIGHER)
}

const HIGHER: u32 = 0x9e37_79b1;
