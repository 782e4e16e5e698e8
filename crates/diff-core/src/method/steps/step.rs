/// One step of a parse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// The next bytes, as they are.
    Literals(usize),
    /// Bytes that stand in the history.
    Copy {
        /// How many they are; never none.
        length: usize,
        /// How far back the first of them stands; at least one. They may overlap what they make.
        distance: usize,
    },
}

/// A step as it is coded: literals one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token {
    Literal(u8),
    Copy { length: usize, distance: usize },
}

impl Step {
    /// Appends a step, joined with the last one where both go on the same way.
    pub(super) fn push(steps: &mut Vec<Step>, step: Step) {
        match (steps.last_mut(), step) {
            (Some(Step::Literals(count)), Step::Literals(more)) => *count += more,
            (
                Some(Step::Copy { length, distance }),
                Step::Copy {
                    length: more,
                    distance: same,
                },
            ) if *distance == same => *length += more,
            _ => steps.push(step),
        }
    }
}
