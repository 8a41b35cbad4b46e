//! Why a run could not go on.

use crate::exit::{Failure, SOFTWARE};
use std::fmt;

pub(crate) type Result<T, E = Problem> = std::result::Result<T, E>;

/// A failure that says what could not be measured, and why.
#[derive(Debug)]
pub(crate) struct Problem(Failure);

impl Problem {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(Failure::new(SOFTWARE, text))
    }

    /// The way it is called is wrong.
    pub(crate) fn invalid(text: impl Into<String>) -> Self {
        Self(Failure::invalid(text))
    }

    /// What it says.
    pub(crate) fn text(self) -> String {
        self.0.message
    }

    /// Says what was being done.
    pub(crate) fn during(self, what: &str) -> Self {
        let Failure { code, message } = self.0;
        Self(Failure { code, message: format!("{what}: {message}") })
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        problem.0
    }
}

impl From<linchpin::Error> for Problem {
    fn from(error: linchpin::Error) -> Self {
        Self(error.into())
    }
}

impl From<redis::RedisError> for Problem {
    fn from(error: redis::RedisError) -> Self {
        Self::new(format!("the raw client: {error}"))
    }
}

impl<K> From<async_nats::error::Error<K>> for Problem
where
    K: Clone + fmt::Debug + fmt::Display + PartialEq,
{
    fn from(error: async_nats::error::Error<K>) -> Self {
        Self::new(format!("the raw client: {error}"))
    }
}

#[cfg(feature = "postgres")]
impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        Self::new(format!("the raw client: {error}"))
    }
}

impl From<tokio::task::JoinError> for Problem {
    fn from(error: tokio::task::JoinError) -> Self {
        Self::new(format!("a task ended early: {error}"))
    }
}
