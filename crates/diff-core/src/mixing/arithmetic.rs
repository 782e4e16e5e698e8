//! Probabilities and their logistic numbers, from integers alone.

/// Returns the probability of which `logistic` is the logistic number, in 65,536; never none, never all.
#[inline]
pub(crate) fn squash(logistic: i32) -> u32 {
    let place = logistic.clamp(-REACH, REACH) + REACH;
    u32::from(SQUASHED[place.cast_unsigned() as usize])
}

/// Returns the logistic number of a probability in 65,536.
#[inline]
pub(crate) fn stretch(probability: u32) -> i16 {
    STRETCHED[(probability >> 4) as usize % STRETCHED.len()]
}

/// No probability in 65,536 has a logistic number beyond.
const REACH: i32 = 2815;

static SQUASHED: [u16; 2 * 2815 + 1] = squashed();
static STRETCHED: [i16; 4096] = stretched();

/// Computes 65536 / (1 + e^-x) for every logistic number x, rounded down.
#[allow(clippy::cast_possible_truncation, reason = "a probability has 16 bits")]
const fn squashed() -> [u16; 2 * 2815 + 1] {
    // e^(-1/256) with 62 bits behind the point.
    const FALLING: u128 = 4_593_706_758_521_714_574;
    const ONE: u128 = 1 << 62;
    let mut table = [0; 2 * 2815 + 1];
    let mut power = ONE;
    let mut away = 0;
    while away <= 2815 {
        let upper = (ONE << 16) / (ONE + power);
        let upper = if upper > 65_535 { 65_535 } else { upper as u32 };
        table[2815 + away] = upper as u16;
        table[2815 - away] = (65_536 - upper) as u16;
        power = (power * FALLING) >> 62;
        away += 1;
    }
    table
}

/// Computes the logistic number of each probability in 4096, taken at its middle.
const fn stretched() -> [i16; 4096] {
    let table_of = squashed();
    let mut table = [0; 4096];
    let mut logistic: i16 = -2047;
    let mut probability = 0;
    while probability < 4096 {
        while logistic < 2047
            && (table_of[(logistic + 2815) as usize] as usize) < 16 * probability + 8
        {
            logistic += 1;
        }
        table[probability] = logistic;
        probability += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_those_of_the_format() {
        let squashed: u64 = SQUASHED
            .iter()
            .zip(1_u64..)
            .map(|(value, place)| u64::from(*value) * place)
            .sum();
        let stretched: i64 = STRETCHED
            .iter()
            .zip(1_i64..)
            .map(|(value, place)| i64::from(*value) * place)
            .sum();
        assert_eq!(
            (
                squash(0),
                squash(-1),
                squash(256),
                squash(9999),
                squash(-9999)
            ),
            (32_768, 32_705, 47_910, 65_534, 2)
        );
        assert_eq!(
            (
                stretch(0),
                stretch(32_768),
                stretch(40_000),
                stretch(65_535)
            ),
            (-2047, 1, 116, 2047)
        );
        assert_eq!((squashed, stretched), (772_284_803_152, 2_150_238_237));
    }
}
