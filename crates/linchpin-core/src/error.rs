//! The one error type: what the caller can do, about which operation, and whether it may have been applied.

use crate::operation::is_read;
use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The result of every fallible operation of linchpin.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, sorted by what the caller can do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The call itself is wrong: mend the argument, URL or configuration. Nothing was sent.
    InvalidArgument,
    /// The backend does not offer this and does not pretend to. Nothing was sent.
    Unsupported,
    /// What is stored stands in the way: a counter overflowed, a value is no counter, an id was reused.
    Conflict,
    /// No answer in time.
    Timeout,
    /// The backend cannot be reached, or not now.
    Unavailable,
    /// The backend refused the credentials or the permission.
    Unauthorized,
    /// Nobody is subscribed, so nobody can acknowledge.
    NoSubscribers,
    /// A subscriber was too slow, or was disconnected: messages were missed. The stream goes on.
    Lagged,
    /// A lock, leadership or other lease is no longer held.
    Lost,
    /// The handle was closed or shut down.
    Closed,
    /// The backend or a stated bound is full: memory, queue length, connections.
    ResourceExhausted,
    /// The backend answered something that it should not have: corrupt data, a bug.
    Backend,
}

impl ErrorKind {
    /// The kind as one lower-case word, the way metrics and JSON reports write it.
    ///
    /// ```
    /// assert_eq!(linchpin_core::ErrorKind::NoSubscribers.as_str(), "no_subscribers");
    /// ```
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidArgument => "invalid_argument",
            Self::Unsupported => "unsupported",
            Self::Conflict => "conflict",
            Self::Timeout => "timeout",
            Self::Unavailable => "unavailable",
            Self::Unauthorized => "unauthorized",
            Self::NoSubscribers => "no_subscribers",
            Self::Lagged => "lagged",
            Self::Lost => "lost",
            Self::Closed => "closed",
            Self::ResourceExhausted => "resource_exhausted",
            Self::Backend => "backend",
        }
    }
}

/// Whether the same call may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retry {
    /// Sending it again will not help, or was already tried to the end.
    Never,
    /// It surely was not applied: sending it again is safe.
    Safe,
    /// It may have been applied: sending it again is safe only if it is idempotent.
    Unknown,
}

/// An error of linchpin: kind, operation, key or channel, whether it may be retried, and the source.
///
/// `Display` is one lower-case line without secrets, payloads or the source's text; the source is
/// reached by [`std::error::Error::source`].
///
/// ```
/// use linchpin_core::{Error, ErrorKind, Retry};
/// let error = Error::new(ErrorKind::Timeout, "commit", "no answer within 5s")
///     .with_subject("order:123")
///     .with_retry(Retry::Unknown);
/// assert_eq!(error.to_string(), "commit \"order:123\": no answer within 5s; it may have been applied");
/// ```
pub struct Error(Box<Repr>);

struct Repr {
    kind: ErrorKind,
    operation: &'static str,
    subject: Option<String>,
    message: Cow<'static, str>,
    retry: Retry,
    maybe_applied: bool,
    missed: Option<u64>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of `kind` in `operation` (a method's name), explained by `message`: one line, lower case,
    /// no secret, no payload. It starts as [`Retry::Never`].
    pub fn new(kind: ErrorKind, operation: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Repr {
            kind,
            operation,
            subject: None,
            message: message.into(),
            retry: Retry::Never,
            maybe_applied: false,
            missed: None,
            source: None,
        }))
    }

    /// The call itself is wrong; nothing was sent.
    pub fn invalid(operation: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::InvalidArgument, operation, message)
    }

    /// The backend does not declare `feature`; nothing was sent.
    pub fn unsupported(operation: &'static str, backend: &str, feature: &str) -> Self {
        Self::new(ErrorKind::Unsupported, operation, format!("the {backend} backend does not offer {feature}"))
    }

    /// No answer within `after`. Whether a write was applied is unknown, so it starts as [`Retry::Unknown`].
    pub fn timeout(operation: &'static str, after: Duration) -> Self {
        Self::new(ErrorKind::Timeout, operation, format!("no answer within {after:?}")).with_retry(Retry::Unknown)
    }

    /// The handle was closed.
    pub fn closed(operation: &'static str) -> Self {
        Self::new(ErrorKind::Closed, operation, "this handle was closed; open a new one")
    }

    /// The backend answered something that the adapter cannot have asked for. What was asked was done before, so it may
    /// have been applied, for good.
    pub fn unreadable(operation: &'static str, answer: &str) -> Self {
        Self::new(ErrorKind::Backend, operation, format!("the server's answer cannot be read: {answer}"))
            .for_good_unless_read()
    }

    /// `missed` messages were dropped for a subscriber, or an unknown number (`None`) during a reconnect.
    pub fn lagged(missed: Option<u64>) -> Self {
        let message = match missed {
            Some(count) => format!("{count} messages were dropped because this subscriber was too slow"),
            None => "an unknown number of messages may have been missed while reconnecting".to_owned(),
        };
        let mut error = Self::new(ErrorKind::Lagged, "subscribe", message);
        error.0.missed = missed;
        error
    }

    /// What one caller of `operation` is told of a failure that several are told of, each as of a call of his own.
    ///
    /// ```
    /// use linchpin_core::Error;
    /// use std::{sync::Arc, time::Duration};
    ///
    /// let late = Arc::new(Error::timeout("connect", Duration::from_secs(2)).of_read());
    /// assert_eq!(Error::shared(&late, "get").to_string(), "get: no answer within 2s");
    /// ```
    pub fn shared(failure: &Arc<Self>, operation: &'static str) -> Self {
        let Repr { kind, ref subject, ref message, retry, maybe_applied, missed, .. } = *failure.0;
        let (subject, message, source) = (subject.clone(), message.clone(), Some(failure.clone().into()));
        Self(Box::new(Repr { kind, operation, subject, message, retry, maybe_applied, missed, source }))
    }

    /// Names the key, channel, stream or URL (redacted) that the operation was about.
    pub fn with_subject(mut self, subject: impl Into<String>) -> Self {
        self.0.subject = Some(subject.into());
        self
    }

    /// Takes `prefix` off the key, channel or stream that it names: what a layer put in front of it.
    pub(crate) fn without_subject_prefix(mut self, prefix: &str) -> Self {
        let own = self.0.subject.as_deref().and_then(|subject| subject.strip_prefix(prefix)).map(str::to_owned);
        self.0.subject = own.or(self.0.subject);
        self
    }

    /// Says whether the call may be sent again.
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.0.retry = retry;
        self.0.maybe_applied |= retry == Retry::Unknown;
        self
    }

    /// It may have been applied, and sending it again will not tell.
    pub fn for_good(self) -> Self {
        self.with_retry(Retry::Unknown).with_retry(Retry::Never)
    }

    /// It failed after a part of the call was done, if one was: then sending it again is safe only if the call is
    /// idempotent.
    pub fn after_a_part_if(self, is_begun: bool) -> Self {
        if !is_begun {
            return self;
        }
        let retry = self.0.retry;
        let error = self.with_retry(Retry::Unknown);
        if retry == Retry::Never { error.with_retry(retry) } else { error }
    }

    /// The same for whatever its operation is: one that only reads surely applied nothing.
    pub fn for_good_unless_read(self) -> Self {
        if is_read(self.0.operation) { self } else { self.for_good() }
    }

    /// Attaches the error that caused this one.
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Names the operation that the caller called, where the error arose deeper down.
    pub fn with_operation(mut self, operation: &'static str) -> Self {
        self.0.operation = operation;
        self
    }

    /// The same error of a call that only reads: it surely applied nothing, so an unknown outcome is safe.
    pub fn of_read(mut self) -> Self {
        if self.0.retry == Retry::Unknown {
            self.0.retry = Retry::Safe;
        }
        self.0.maybe_applied = false;
        self
    }

    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The operation that failed: the name of the method. Names are checked before a method is called: for one that is not
    /// allowed it is what this is a name of, `key`, `channel` or `stream`.
    pub fn operation(&self) -> &'static str {
        self.0.operation
    }

    /// The key, channel or stream that the operation was about.
    pub fn subject(&self) -> Option<&str> {
        self.0.subject.as_deref()
    }

    /// Whether the call may be sent again.
    pub fn retry(&self) -> Retry {
        self.0.retry
    }

    /// Whether the write may have been applied although it failed; stays true once retries are exhausted.
    pub fn maybe_applied(&self) -> bool {
        self.0.maybe_applied
    }

    /// Whether it may pass by itself: the backend is away, slow or full.
    pub fn is_transient(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Timeout | ErrorKind::Unavailable | ErrorKind::ResourceExhausted)
    }

    /// How many messages a [`ErrorKind::Lagged`] subscriber missed, where that is known.
    pub fn missed(&self) -> Option<u64> {
        self.0.missed
    }
}

/// A subject in a message: escaped to one line and cut after 64 characters.
fn write_subject(f: &mut fmt::Formatter<'_>, subject: &str) -> fmt::Result {
    match subject.char_indices().nth(64) {
        Some((cut, _)) => write!(f, " {:?}...", &subject[..cut]),
        None => write!(f, " {subject:?}"),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.operation)?;
        if let Some(subject) = &self.0.subject {
            write_subject(f, subject)?;
        }
        write!(f, ": {}", self.0.message)?;
        if self.0.maybe_applied {
            f.write_str("; it may have been applied")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("operation", &self.0.operation)
            .field("subject", &self.0.subject)
            .field("message", &self.0.message)
            .field("retry", &self.0.retry)
            .field("source", &self.0.source)
            .finish_non_exhaustive()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_is_one_line_and_short_whatever_the_subject() {
        let error = Error::invalid("get", "no").with_subject(format!("a\nb{}", "x".repeat(600)));
        let text = error.to_string();
        assert!(!text.contains('\n') && text.len() < 120, "{text}");
    }

    #[test]
    fn one_of_several_is_told_all_of_a_failure() {
        let late = || Error::timeout("subscribe", Duration::from_secs(1));
        for (error, text) in [
            (late().of_read(), "watch: no answer within 1s"),
            (late(), "watch: no answer within 1s; it may have been applied"),
            (late().with_subject("news").for_good(), "watch \"news\": no answer within 1s; it may have been applied"),
            (Error::lagged(Some(3)), "watch: 3 messages were dropped because this subscriber was too slow"),
        ] {
            let error = Arc::new(error);
            let told = Error::shared(&error, "watch");
            assert_eq!(told.to_string(), text);
            let facts = |error: &Error| (error.kind(), error.retry(), error.maybe_applied(), error.missed());
            assert_eq!(facts(&told), facts(&error));
            assert_eq!(told.source().map(ToString::to_string), Some(error.to_string()));
        }
    }

    #[test]
    fn exhausting_retries_keeps_the_doubt() {
        let error = Error::timeout("commit", Duration::from_secs(1)).with_retry(Retry::Never);
        assert!(error.maybe_applied());
        assert!(!Error::timeout("get", Duration::from_secs(1)).of_read().maybe_applied());
        let unreadable = |operation| Error::unreadable(operation, "?").maybe_applied();
        assert_eq!((unreadable("commit"), unreadable("claim"), unreadable("scan")), (true, true, false));
    }
}
