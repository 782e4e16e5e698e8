use std::fmt::Write as _;

use crate::report::figures::PackFigures;
use crate::report::text::{bytes, escaped};

/// Returns the picture of what every older release downloads to become a newer one: a row for each
/// release that a device may have, a column for each that it may get.
pub(crate) fn heat_map(pack: &PackFigures) -> String {
    let count = pack.releases.len();
    if count < 2 {
        return String::new();
    }
    let cell = if count > ROOMY_RELEASES {
        NARROW_CELL
    } else {
        CELL
    };
    let (side, left, top) = (cell - 2, LEFT, TOP);
    let (width, height) = (left + cell * (count - 1) + 8, top + cell * (count - 1) + 8);
    let mut squares: Vec<String> = vec![String::new(); CLASSES.len() + 1];
    let mut labels = String::new();
    for (row, costs) in pack.downloads.iter().enumerate().take(count - 1) {
        for (column, cost) in costs.iter().enumerate().skip(row + 1) {
            let tree = pack.releases.get(column).map_or(0, |to| to.tree_bytes);
            let class = class(*cost, tree);
            let (x, y) = (left + cell * (column - 1), top + cell * row);
            if let Some(path) = squares.get_mut(class) {
                let _ = write!(path, "M{x} {y}h{side}v{side}h-{side}z");
            }
            if count <= TOLD_RELEASES {
                let _ = write!(
                    labels,
                    "<text class=n{} x={} y={}>{}</text>",
                    u8::from(class >= DARK_CLASS && class < CLASSES.len()),
                    x + side / 2,
                    y + side / 2 + 3,
                    cost.map_or_else(|| "–".to_owned(), bytes)
                );
            }
        }
    }
    let mut svg = String::new();
    let name = escaped(pack.pack.as_str());
    let _ = write!(
        svg,
        "<div class=scroll><svg viewBox=\"0 0 {width} {height}\" width={width} height={height} role=img \
         aria-label=\"What each older release of {name} downloads; the table below has the same figures\">"
    );
    for (class, path) in squares
        .iter()
        .enumerate()
        .filter(|(_, path)| !path.is_empty())
    {
        let _ = write!(svg, "<path class=c{class} d=\"{path}\"/>");
    }
    svg.push_str(&labels);
    for (at, release) in pack.releases.iter().enumerate() {
        let label = shortened(release.label.as_str());
        if at + 1 < count {
            let y = top + cell * at + side / 2 + 4;
            let _ = write!(svg, "<text class=r x={} y={y}>{label}</text>", left - 6);
        }
        if at > 0 {
            let x = left + cell * (at - 1) + side / 2;
            let _ = write!(
                svg,
                "<text class=l transform=\"translate({x} {}) rotate(-45)\">{label}</text>",
                top - 6
            );
        }
    }
    svg.push_str("</svg></div>");
    svg
}

/// Returns what the colours of the heat map mean.
pub(crate) fn legend() -> String {
    let mut legend = String::from("<p class=legend>of the newer release’s files:");
    for (class, told) in CLASSES.iter().map(|(_, told)| *told).enumerate() {
        let _ = write!(legend, " <span><i class=b{class}></i>{told}</span>");
    }
    let _ = write!(
        legend,
        " <span><i class=b{}></i>no way</span></p>",
        CLASSES.len()
    );
    legend
}

/// Returns the class of a colour: by the share of the tree, in thousandths.
fn class(cost: Option<u64>, tree_bytes: u64) -> usize {
    let Some(cost) = cost else {
        return CLASSES.len();
    };
    let share = cost.saturating_mul(1000) / tree_bytes.max(1);
    let found = CLASSES.iter().position(|(most, _)| share <= *most);
    found.unwrap_or(CLASSES.len() - 1)
}

fn shortened(label: &str) -> String {
    let short: String = label.chars().take(LABEL_CHARS).collect();
    match short.len() < label.len() {
        true => escaped(&format!("{short}…")),
        false => escaped(label),
    }
}

const CLASSES: [(u64, &str); 6] = [
    (10, "≤ 1 %"),
    (30, "≤ 3 %"),
    (100, "≤ 10 %"),
    (250, "≤ 25 %"),
    (500, "≤ 50 %"),
    (u64::MAX, "more"),
];
/// From here on the figures are light on dark.
const DARK_CLASS: usize = 3;
const CELL: usize = 58;
/// So that twenty releases fit a page.
const NARROW_CELL: usize = 50;
const ROOMY_RELEASES: usize = 16;
const LEFT: usize = 110;
const TOP: usize = 84;
const LABEL_CHARS: usize = 14;
/// Beyond it the figures stand in the table alone.
const TOLD_RELEASES: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_go_by_the_share_of_the_tree() {
        for (cost, expected) in [
            (0, 0),
            (10, 0),
            (11, 1),
            (100, 2),
            (101, 3),
            (501, 5),
            (9_999, 5),
        ] {
            assert_eq!(class(Some(cost), 1000), expected, "{cost}");
        }
        assert_eq!(class(None, 1000), CLASSES.len());
        assert_eq!(class(Some(0), 0), 0);
    }
}
