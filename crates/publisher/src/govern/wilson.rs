//! How sure a share is that was counted on some and is to hold for all.

/// What a share is at least and at most, by Wilson's score, each for itself with the confidence asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// The share that was counted.
    pub share: f64,
    /// What the share is at least.
    pub lower: f64,
    /// What the share is at most.
    pub upper: f64,
}

impl Bounds {
    /// Returns the bounds of `count` among `all`, at `confidence` between 0.5 and 1.
    ///
    /// Of nothing nothing is known: 0 to 1.
    pub fn of(count: u64, all: u64, confidence: f64) -> Bounds {
        if all == 0 {
            return Bounds {
                share: 0.0,
                lower: 0.0,
                upper: 1.0,
            };
        }
        let n = all as f64;
        let share = (count.min(all)) as f64 / n;
        let z = quantile(confidence);
        let z2 = z * z;
        let middle = share + z2 / (2.0 * n);
        let reach = z * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
        let whole = 1.0 + z2 / n;
        Bounds {
            share,
            lower: if count == 0 {
                0.0
            } else {
                ((middle - reach) / whole).max(0.0)
            },
            upper: if count >= all {
                1.0
            } else {
                ((middle + reach) / whole).min(1.0)
            },
        }
    }
}

/// Returns how many trials without a single one of something make sure that its share is at most
/// `limit`; `None` where none do.
#[expect(
    clippy::cast_possible_truncation,
    reason = "it is compared with a bound before"
)]
pub fn enough(limit: f64, confidence: f64) -> Option<u64> {
    let z = quantile(confidence);
    // With none counted the upper bound is z² / (n + z²).
    let least = z * z * (1.0 - limit) / limit;
    (limit > 0.0 && least < 1e15).then_some(least.ceil() as u64)
}

/// Returns the number of standard deviations below which `probability` of a normal distribution lies.
fn quantile(probability: f64) -> f64 {
    let wanted = probability.clamp(0.5, 1.0 - 1e-12);
    let (mut low, mut high) = (0.0, 8.0);
    // Each step halves what is left: more than a float can tell apart.
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if normal(middle) < wanted {
            low = middle;
        } else {
            high = middle;
        }
    }
    (low + high) / 2.0
}

/// Returns the share of a normal distribution below `x` standard deviations, `x` not below 0: by
/// Simpson's rule, whose error is far below what decides anything here.
fn normal(x: f64) -> f64 {
    const PARTS: u32 = 400;
    let step = x / f64::from(PARTS);
    let density = |at: f64| (-at * at / 2.0).exp();
    let mut sum = density(0.0) + density(x);
    for part in 1..PARTS {
        let weight = if part % 2 == 1 { 4.0 } else { 2.0 };
        sum += weight * density(f64::from(part) * step);
    }
    0.5 + sum * step / 3.0 / std::f64::consts::TAU.sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 5e-5, "{found}, not {expected}");
    }

    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (probability, expected) in [
            (0.5, 0.0),
            (0.9, 1.281_55),
            (0.95, 1.644_85),
            (0.975, 1.959_96),
            (0.99, 2.326_35),
            (0.999, 3.090_23),
        ] {
            is_near(quantile(probability), expected);
        }
    }

    /// Newcombe's examples (1998) of the score method, whose intervals are two-sided at 95 %.
    #[test]
    fn bounds_are_those_of_the_literature() {
        for (count, all, lower, upper) in [
            (81, 263, 0.2553, 0.3662),
            (15, 148, 0.0624, 0.1605),
            (0, 20, 0.0, 0.1611),
            (1, 29, 0.0061, 0.1718),
        ] {
            let bounds = Bounds::of(count, all, 0.975);
            is_near(bounds.lower, lower);
            is_near(bounds.upper, upper);
        }
    }

    #[test]
    fn bounds_close_in_as_more_is_counted() {
        let mut before = Bounds::of(0, 0, 0.95);
        assert_eq!((before.lower, before.upper), (0.0, 1.0));
        for all in [10, 100, 1_000, 10_000, 1_000_000] {
            let bounds = Bounds::of(all / 10, all, 0.95);
            assert!(bounds.lower > before.lower && bounds.upper < before.upper);
            assert!(bounds.lower < 0.1 && bounds.upper > 0.1);
            before = bounds;
        }
        assert_eq!(Bounds::of(7, 7, 0.95).upper, 1.0);
    }

    #[test]
    fn enough_is_the_first_number_that_makes_sure() {
        for limit in [0.5, 0.01, 0.005, 0.000_1] {
            let enough = enough(limit, 0.95).unwrap();
            assert!(Bounds::of(0, enough, 0.95).upper <= limit, "{limit}");
            assert!(Bounds::of(0, enough - 1, 0.95).upper > limit, "{limit}");
        }
        assert_eq!(enough(0.0, 0.95), None);
    }
}
