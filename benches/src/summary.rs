use crate::measure::Row;
use crate::table::grouped;

/// The sizes of all pairs, ours against the best of the others.
#[derive(Default)]
pub(crate) struct Summary(Vec<Line>);

/// The sizes of one pair.
pub(crate) struct Line {
    pair: String,
    ours: Option<u64>,
    best: Option<(String, u64)>,
    whole: Option<u64>,
    peer_whole: Option<u64>,
}

impl Line {
    pub(crate) fn new(pair: &str) -> Line {
        Line {
            pair: pair.to_owned(),
            ours: None,
            best: None,
            whole: None,
            peer_whole: None,
        }
    }

    pub(crate) fn ours(&mut self, row: &Row) {
        self.ours = bytes(row);
    }

    pub(crate) fn peer(&mut self, row: &Row) {
        if let Some(bytes) = bytes(row) {
            self.recorded(&row.tool, bytes);
        }
    }

    pub(crate) fn recorded(&mut self, peer: &str, bytes: u64) {
        if self.best.as_ref().is_none_or(|(_, best)| bytes < *best) {
            self.best = Some((peer.to_owned(), bytes));
        }
    }

    pub(crate) fn whole(&mut self, row: &Row) {
        self.whole = bytes(row);
    }

    pub(crate) fn peer_whole(&mut self, row: &Row) {
        self.peer_whole = self.peer_whole.into_iter().chain(bytes(row)).min();
    }
}

impl Summary {
    pub(crate) fn add(&mut self, line: Line) {
        self.0.push(line);
    }

    /// Prints one line a pair, and the geometric mean of the ratios.
    pub(crate) fn print(&self) {
        println!();
        println!("## Summary");
        println!();
        println!(
            "| pair | satchel | best peer | bytes | ratio | from nothing | tar, zstd | ratio |"
        );
        println!("|---|---:|---|---:|---:|---:|---:|---:|");
        let mut ratios = Vec::new();
        for line in &self.0 {
            let best = line.best.as_ref().map(|(_, bytes)| *bytes);
            ratios.extend(ratio(line.ours, best));
            println!(
                "| {} | {} | {} | {} | {} | {} | {} | {} |",
                line.pair,
                told(line.ours),
                line.best.as_ref().map_or("", |(peer, _)| peer),
                told(best),
                told_ratio(ratio(line.ours, best)),
                told(line.whole),
                told(line.peer_whole),
                told_ratio(ratio(line.whole, line.peer_whole)),
            );
        }
        if !ratios.is_empty() {
            let logarithms: f64 = ratios.iter().map(|ratio| ratio.ln()).sum();
            #[allow(clippy::cast_precision_loss, reason = "there are few pairs")]
            let mean = (logarithms / ratios.len() as f64).exp();
            println!();
            println!("Geometric mean of the ratios to the best peer: {mean:.3}.");
        }
    }
}

fn bytes(row: &Row) -> Option<u64> {
    row.outcome.as_ref().ok().map(|figures| figures.delta_bytes)
}

#[allow(
    clippy::cast_precision_loss,
    reason = "a ratio is told to three digits"
)]
fn ratio(ours: Option<u64>, theirs: Option<u64>) -> Option<f64> {
    Some(ours? as f64 / theirs? as f64)
}

fn told(bytes: Option<u64>) -> String {
    bytes.map_or("".to_owned(), grouped)
}

fn told_ratio(ratio: Option<f64>) -> String {
    ratio.map_or("".to_owned(), |ratio| format!("{ratio:.3}"))
}
