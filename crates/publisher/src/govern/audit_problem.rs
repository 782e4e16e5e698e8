/// A file of a repository that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[error("{location}: expected {expected}, found {found}")]
pub struct AuditProblem {
    /// The file.
    pub location: String,
    /// What refers to it, or its format, asks for.
    pub expected: String,
    /// What is there.
    pub found: String,
}

impl AuditProblem {
    pub(crate) fn new(
        location: impl ToString,
        expected: impl ToString,
        found: impl ToString,
    ) -> AuditProblem {
        AuditProblem {
            location: location.to_string(),
            expected: expected.to_string(),
            found: found.to_string(),
        }
    }
}
