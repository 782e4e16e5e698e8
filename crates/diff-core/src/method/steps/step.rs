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
