//! What became of decisions that mixing made so likely: it corrects what mixing says.

/// For each bit of a byte, behind those before it, what came of each of some logistic numbers.
#[derive(Clone)]
pub(super) struct Outcomes {
    rows: Vec<[Fine; STEPS]>,
    row: usize,
    nearest: usize,
}

impl Outcomes {
    /// Returns what holds before any decision was made: what mixing says is right.
    pub(super) fn new() -> Outcomes {
        let mut row = [Fine::NEW; STEPS];
        for (counter, logistic) in row.iter_mut().zip((-REACH..).step_by(STEP)) {
            *counter = Fine::of(squash(logistic).clamp(16, 65_520));
        }
        Outcomes {
            rows: vec![row; ROWS],
            row: 0,
            nearest: 0,
        }
    }

    /// Returns the probability of a decision, in 65,536, from the logistic number that mixing gave it.
    #[inline]
    pub(super) fn probability(&mut self, coded: usize, logistic: i32) -> u32 {
        let above = (logistic.clamp(-REACH, REACH - 1) + REACH).cast_unsigned();
        let (step, share) = ((above / STEP_WIDTH) as usize, above % STEP_WIDTH);
        self.row = coded % ROWS;
        self.nearest = step + usize::from(share >= STEP_WIDTH / 2);
        let row = &self.rows[self.row];
        let (below, above) = (row[step].probability(), row[step + 1].probability());
        let refined = (below * (STEP_WIDTH - share) + above * share) / STEP_WIDTH;
        (squash(logistic) + refined) >> 1
    }

    /// Learns of the decision that was made.
    #[inline]
    pub(super) fn learn(&mut self, bit: bool) {
        self.rows[self.row][self.nearest].learn(bit, LIMIT);
    }
}

const ROWS: usize = 1 << 8;
/// The logistic numbers of a row, so far apart, up to so much either way.
const STEPS: usize = 33;
const STEP: usize = 160;
const STEP_WIDTH: u32 = 160;
const REACH: i32 = 2560;
const LIMIT: u32 = 255;
use crate::mixing::{Fine, squash};
