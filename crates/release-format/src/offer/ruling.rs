use std::fmt;

/// One rule that a decision went through, and how it came out.
///
/// Rulings are told to people who ask why a device is offered what it is; programs go by the names of
/// the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruling {
    /// The rule, by a name that stays the same.
    pub rule: &'static str,
    /// Whether it lets the release through.
    pub holds: bool,
    /// What was compared, in plain words.
    pub told: String,
}

impl Ruling {
    /// Returns the ruling of a rule that lets the release through if `holds`.
    pub fn new(rule: &'static str, holds: bool, told: impl Into<String>) -> Ruling {
        Ruling {
            rule,
            holds,
            told: told.into(),
        }
    }
}

impl fmt::Display for Ruling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answer = if self.holds { "yes" } else { "no" };
        write!(f, "{} ({}): {}", self.rule, answer, self.told)
    }
}
