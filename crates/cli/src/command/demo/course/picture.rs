use std::io;

use super::prose::Prose;

/// Returns a picture as a microscope would show it: round cells on a shaded slide, with grain.
///
/// Each of `edits` adds one more cell.
pub(super) fn png(name: &str, edits: u32) -> io::Result<Vec<u8>> {
    let mut chance = Prose::new(name);
    let cells: Vec<Cell> = (0..14 + edits).map(|_| Cell::placed(&mut chance)).collect();
    let mut pixels = Vec::with_capacity(3 * usize::from(WIDTH) * usize::from(HEIGHT));
    let mut grain = Prose::new(&format!("grain of {name}"));
    for y in 0..i32::from(HEIGHT) {
        for x in 0..i32::from(WIDTH) {
            let noise = grain.next().to_le_bytes();
            let shade = cells.iter().filter_map(|cell| cell.shade(x, y)).max();
            let base = match shade {
                Some(shade) => [60 + shade / 4, 110 + shade / 2, 70],
                None => [225 - x / 16, 230 - y / 16, 205],
            };
            for (channel, noise) in base.into_iter().zip(noise) {
                let value = channel + i32::from(noise % 6);
                pixels.push(u8::try_from(value.clamp(0, 255)).unwrap_or(u8::MAX));
            }
        }
    }
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, u32::from(WIDTH), u32::from(HEIGHT));
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&pixels)?;
    writer.finish()?;
    Ok(file)
}

struct Cell {
    x: i32,
    y: i32,
    radius: i32,
}

impl Cell {
    fn placed(chance: &mut Prose) -> Cell {
        let mut below = |limit: u16| i32::try_from(chance.next() % u64::from(limit)).unwrap_or(0);
        Cell {
            x: below(WIDTH),
            y: below(HEIGHT),
            radius: 18 + below(26),
        }
    }

    /// Returns how dark the cell is at a place, if it lies there: darker to its rim.
    fn shade(&self, x: i32, y: i32) -> Option<i32> {
        let square = (x - self.x).pow(2) + (y - self.y).pow(2);
        let limit = self.radius.pow(2);
        (square < limit).then(|| 200 * square / limit)
    }
}

const WIDTH: u16 = 400;
const HEIGHT: u16 = 280;
