//! Why a run could not go on.

use std::fmt;

pub(crate) type Result<T, E = Problem> = std::result::Result<T, E>;

/// One line that says what could not be measured, and why.
#[derive(Debug)]
pub(crate) struct Problem(String);

impl Problem {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Says what was being done.
    pub(crate) fn during(self, what: &str) -> Self {
        Self(format!("{what}: {}", self.0))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<linchpin::Error> for Problem {
    fn from(error: linchpin::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<redis::RedisError> for Problem {
    fn from(error: redis::RedisError) -> Self {
        Self(format!("the raw client: {error}"))
    }
}

impl From<tokio::task::JoinError> for Problem {
    fn from(error: tokio::task::JoinError) -> Self {
        Self(format!("a task ended early: {error}"))
    }
}
