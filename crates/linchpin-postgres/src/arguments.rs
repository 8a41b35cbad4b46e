//! Arguments of statements, and what their rows hold.

use crate::error::Failure;
use linchpin_core::{Error, Key, MAX_TTL, Result};
use sqlx::postgres::{PgArguments, PgRow, Postgres};
use sqlx::{Arguments as _, Decode, Encode, Row, Type};
use std::time::Duration;

/// The arguments of a statement.
#[derive(Default)]
pub(crate) struct Arguments(PgArguments, Option<sqlx::Error>);

impl Arguments {
    /// One more argument.
    pub(crate) fn with<'q, T: Encode<'q, Postgres> + Type<Postgres>>(mut self, argument: T) -> Self {
        if let Err(error) = self.0.add(argument) {
            self.1 = Some(sqlx::Error::Encode(error));
        }
        self
    }

    /// All of them.
    pub(crate) fn arguments(self) -> Result<PgArguments, Failure> {
        match self.1 {
            None => Ok(self.0),
            Some(error) => Err(error.into()),
        }
    }

    /// All of them, for an operation.
    pub(crate) fn of(self, operation: &'static str) -> Result<PgArguments> {
        self.arguments().map_err(|failure| failure.told(operation))
    }
}

/// A column of a row.
pub(crate) fn column<'r, T: Decode<'r, Postgres> + Type<Postgres>>(
    row: &'r PgRow,
    index: usize,
) -> Result<T, sqlx::Error> {
    row.try_get(index)
}

/// A column of a row that an operation got.
pub(crate) fn field<'r, T: Decode<'r, Postgres> + Type<Postgres>>(
    operation: &'static str,
    row: &'r PgRow,
    index: usize,
) -> Result<T> {
    row.try_get(index).map_err(|error| Error::unreadable(operation, "a column of another type").with_source(error))
}

/// A number that is never below 0 on the server.
pub(crate) fn number(stored: i64) -> u64 {
    u64::try_from(stored).unwrap_or(0)
}

/// A number as the server stores it. Revisions, positions and times stay far below its limit.
pub(crate) fn stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A duration in microseconds, rounded up: a TTL is never shorter than asked.
pub(crate) fn micros(time: Duration) -> i64 {
    let time = time.min(MAX_TTL);
    i64::try_from(time.as_nanos().div_ceil(1000)).unwrap_or(i64::MAX)
}

/// Microseconds as the server writes a TTL: 0 for none.
pub(crate) fn ttl(micros: i64) -> Option<Duration> {
    (micros > 0).then(|| Duration::from_micros(number(micros)))
}

/// A key as the server stores it.
pub(crate) fn key(operation: &'static str, bytes: Vec<u8>) -> Result<Key> {
    let text =
        String::from_utf8(bytes).map_err(|_| -> Error { Error::unreadable(operation, "a key that is not UTF-8") })?;
    Key::stored(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn microseconds_are_rounded_up() {
        assert_eq!(micros(Duration::from_nanos(1_000_001)), 1001);
        assert_eq!(micros(Duration::from_millis(1)), 1000);
        assert_eq!((ttl(0), ttl(1)), (None, Some(Duration::from_micros(1))));
    }
}
