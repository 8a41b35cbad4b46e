//! How a case fails: with what was seen, what was expected, and where.

use linchpin_core::{Error, ErrorKind};
use std::error::Error as _;
use std::fmt;
use std::panic::Location;

/// Why a case failed.
#[derive(Clone, Debug)]
pub struct Failure {
    message: String,
    at: &'static Location<'static>,
    not_offered: bool,
}

impl Failure {
    /// A failure explained by `message`.
    #[track_caller]
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), at: Location::caller(), not_offered: false }
    }

    /// No failure of the backend: the harness does not offer the fault that the case needs.
    #[track_caller]
    pub(crate) fn not_offered() -> Self {
        Self { not_offered: true, ..Self::new("the harness does not offer this fault") }
    }

    pub(crate) fn is_not_offered(&self) -> bool {
        self.not_offered
    }

    /// The same failure, of the place that a helper was called from.
    pub(crate) fn at(mut self, place: &'static Location<'static>) -> Self {
        self.at = place;
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}:{})", self.message, self.at.file(), self.at.line())
    }
}

/// A call failed that the case needs to succeed.
impl From<Error> for Failure {
    #[track_caller]
    fn from(error: Error) -> Self {
        let mut message = format!("unexpected {} error: {error}", error.kind().as_str());
        let mut source = error.source();
        while let Some(cause) = source {
            message.push_str(": ");
            message.push_str(&cause.to_string());
            source = cause.source();
        }
        Self::new(message)
    }
}

/// Does the work of a helper: what fails in it is told with the place in the case that called the helper.
#[track_caller]
pub(crate) fn here<T>(work: impl Future<Output = Result<T, Failure>>) -> impl Future<Output = Result<T, Failure>> {
    let at = Location::caller();
    async move { work.await.map_err(|failure| failure.at(at)) }
}

/// A value as a message shows it: long ones are cut, so that half a megabyte does not fill the screen.
pub(crate) fn shown(value: &(impl fmt::Debug + ?Sized)) -> String {
    const LONGEST: usize = 300;
    let text = format!("{value:?}");
    match text.char_indices().nth(LONGEST) {
        Some((cut, _)) => format!("{}... ({} bytes in all)", &text[..cut], text.len()),
        None => text,
    }
}

/// The error that a call must fail with; any other outcome fails the case.
#[track_caller]
pub(crate) fn fails_with<T: fmt::Debug>(
    result: Result<T, Error>,
    kind: ErrorKind,
    what: impl fmt::Display,
) -> Result<Error, Failure> {
    let wanted = kind.as_str();
    match result {
        Err(error) if error.kind() == kind => Ok(error),
        Err(error) => {
            let got = error.kind().as_str();
            Err(Failure::new(format!("{what}: expected the error {wanted}, got {got}: {error}")))
        }
        Ok(value) => Err(Failure::new(format!("{what}: expected the error {wanted}, got {}", shown(&value)))),
    }
}

/// Fails the case with a text unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err($crate::failure::Failure::new(format!($($text)+)));
        }
    };
}
pub(crate) use ensure;

/// Fails the case unless both are equal; the text says what the first one is.
macro_rules! ensure_eq {
    ($actual:expr, $expected:expr, $($text:tt)+) => {
        match (&$actual, &$expected) {
            (actual, expected) => $crate::failure::ensure!(
                *actual == *expected,
                "{}: expected {}, got {}",
                format_args!($($text)+),
                $crate::failure::shown(expected),
                $crate::failure::shown(actual),
            ),
        }
    };
}
pub(crate) use ensure_eq;

#[cfg(test)]
mod tests {
    use super::*;

    fn question_mark() -> Result<(), Failure> {
        Err(Error::closed("get"))?;
        Ok(())
    }

    fn two_is_three() -> Result<(), Failure> {
        ensure_eq!(2, 3, "the sum of {}", "1 and 1");
        Ok(())
    }

    #[test]
    fn a_failure_says_where_it_arose() {
        let failure = question_mark().expect_err("fails").to_string();
        assert!(failure.starts_with("unexpected closed error: get: ") && failure.contains("failure.rs:"), "{failure}");
        let failure = two_is_three().expect_err("fails").to_string();
        assert!(failure.starts_with("the sum of 1 and 1: expected 3, got 2 ("), "{failure}");
    }

    #[track_caller]
    fn helper() -> impl Future<Output = Result<(), Failure>> {
        here(async { question_mark() })
    }

    #[tokio::test]
    async fn what_fails_in_a_helper_is_told_with_the_line_that_called_it() {
        let (failed, line) = (helper(), line!());
        let failure = failed.await.expect_err("fails").to_string();
        assert!(failure.ends_with(&format!("failure.rs:{line})")), "{failure}");
    }

    #[test]
    fn long_values_are_cut() {
        assert!(shown(&"é".repeat(100_000)).len() < 700);
    }

    #[test]
    fn another_error_than_the_expected_fails() {
        let closed = || Err::<(), _>(Error::closed("get"));
        assert!(fails_with(closed(), ErrorKind::Closed, "get").is_ok());
        assert!(fails_with(closed(), ErrorKind::Timeout, "get").is_err());
        assert!(fails_with(Ok(()), ErrorKind::Timeout, "get").is_err());
    }
}
