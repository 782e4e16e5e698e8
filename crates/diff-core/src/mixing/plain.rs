//! The tables of the slow, short decoders: written from the format's document alone, to check the fast ones.

/// Logistic numbers and back.
pub(crate) struct Logistic {
    /// From -2815 on.
    pub(crate) squash: Vec<i64>,
    /// Of probabilities in 4,096.
    pub(crate) stretch: Vec<i64>,
}

impl Logistic {
    pub(crate) fn new() -> Logistic {
        let mut upper = Vec::new();
        let mut power = 1_u128 << 62;
        for _ in 0..=2815 {
            let share = (1_u128 << 78) / ((1 << 62) + power);
            upper.push(i64::try_from(share.min(65_535)).unwrap());
            power = (power * 4_593_706_758_521_714_574) >> 62;
        }
        let lower = upper.iter().skip(1).rev().map(|share| 65_536 - share);
        // The middle is 32,768 either way.
        let squash: Vec<i64> = lower.chain(upper.iter().copied()).collect();
        let stretch = (0..4096).map(|share| {
            let reaches = |at: &i64| squash[usize::try_from(at + 2815).unwrap()] >= 16 * share + 8;
            (-2047..2047).find(reaches).unwrap_or(2047)
        });
        let stretch = stretch.collect();
        Logistic { squash, stretch }
    }
}
