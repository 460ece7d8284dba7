//! What a check has found, and what to do about it.

use crate::output;

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    /// What it is. Foreign text in it is escaped when it is shown.
    pub(super) what: String,
    /// What to do.
    pub(super) advice: String,
}

impl Finding {
    pub(super) fn new(what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            advice: advice.into(),
        }
    }

    pub(super) fn warn(&self) {
        output::warning(&format!("{}\n{}", self.what, self.advice));
    }
}
