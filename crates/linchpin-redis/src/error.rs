//! The only place that maps the client's errors.

use crate::line::Refusal;
use linchpin_core::{Error, ErrorKind, Retry};
use redis::{ErrorKind as Native, RedisError, ServerErrorKind};

pub(crate) const CHECK: &str = "check host and port, and that both sides use TLS or neither does";

/// An error while a connection was set up: nothing was sent yet.
pub(crate) fn while_connecting(operation: &'static str, address: &str, refusal: Refusal) -> Error {
    let error = match refusal {
        Refusal::Other(error) => error,
        Refusal::Full => {
            let problem = format!("{address} has as many clients as it takes (maxclients)");
            return Error::new(ErrorKind::ResourceExhausted, operation, problem).with_retry(Retry::Safe);
        }
    };
    let mapped = map(operation, &error);
    let message = match mapped.kind() {
        ErrorKind::Unavailable if error.is_connection_refusal() => {
            format!("{address} refused the connection: is the server running there?")
        }
        ErrorKind::Timeout => format!("{address} did not answer in time while connecting; {CHECK}"),
        ErrorKind::Unavailable => format!("{address} could not be reached; {CHECK}"),
        ErrorKind::Unauthorized => {
            format!("{address} did not accept the user or password in the URL")
        }
        _ => format!("{address} could not be used: {}", problem(&error)),
    };
    if error.detail().is_some_and(|detail| detail.contains("DB index")) {
        let problem = format!("{address} has no database of the number in the URL's path");
        return Error::invalid(operation, problem).with_source(error);
    }
    let retry = if mapped.is_transient() { Retry::Safe } else { Retry::Never };
    Error::new(mapped.kind(), operation, message).with_retry(retry).with_source(error)
}

/// Why there is no answer, or none that is of use.
pub(crate) enum Failure {
    /// There is no connection.
    Connecting(Error),
    /// The connection ended before anything was sent, again and again.
    Unsent,
    /// The connection ended, or was given up on.
    Lost,
    /// No answer came in time.
    Slow,
    /// The server is no longer the primary, so its answer may be an old one.
    Demoted,
    /// What the server, or the client, said.
    Answer(RedisError),
}

impl Failure {
    /// Whether the connection ended.
    pub(crate) fn is_end(&self) -> bool {
        match self {
            Self::Lost => true,
            Self::Answer(error) => error.is_io_error() || error.is_unrecoverable_error(),
            _ => false,
        }
    }

    /// The error of commands that were sent.
    pub(crate) fn of_command(self, operation: &'static str) -> Error {
        match self {
            Self::Connecting(error) => error,
            Self::Unsent => lost(operation).with_retry(Retry::Safe),
            Self::Lost => lost(operation).with_retry(Retry::Unknown),
            Self::Slow => slow(operation),
            Self::Demoted => {
                let problem = "the server is a replica now; its answers may be old ones";
                // Who listens to the replica may have heard it.
                let retry = if operation == "publish" { Retry::Unknown } else { Retry::Safe };
                Error::new(ErrorKind::Unavailable, operation, problem).with_retry(retry)
            }
            Self::Answer(error) => of_command(operation, error),
        }
    }

    /// The error of a script. One that broke off within may have written before: the server takes nothing back.
    pub(crate) fn of_script(self, operation: &'static str) -> Error {
        let within = match &self {
            Self::Answer(error) => error.detail().is_some_and(|detail| detail.contains("script")),
            _ => false,
        };
        let error = self.of_command(operation);
        let stops = matches!(error.kind(), ErrorKind::Unauthorized | ErrorKind::Backend);
        if within && stops { error.for_good_unless_read() } else { error }
    }
}

fn lost(operation: &'static str) -> Error {
    Error::new(ErrorKind::Unavailable, operation, "the connection was lost")
}

fn slow(operation: &'static str) -> Error {
    Error::new(ErrorKind::Timeout, operation, "the server did not answer in time").with_retry(Retry::Unknown)
}

/// Whether the connection is of no more use after this error: it ended, or its server was demoted.
pub(crate) fn is_end(error: &RedisError) -> bool {
    let demoted = matches!(error.kind(), Native::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown))
        || code(error) == Some("READONLY");
    demoted || error.is_io_error() || error.is_unrecoverable_error()
}

/// An error of a command that was sent.
pub(crate) fn of_command(operation: &'static str, error: RedisError) -> Error {
    // Of several commands that were sent together the client tells the errors, but not what kind they are.
    let first = error.clone().into_server_errors().and_then(|errors| errors.first().map(|(_, error)| error.clone()));
    let error = first.map_or(error, RedisError::from);
    map(operation, &error).with_source(error)
}

fn map(operation: &'static str, error: &RedisError) -> Error {
    let (kind, message, retry) = match error.kind() {
        Native::Io if error.is_timeout() => return slow(operation),
        Native::Io => return lost(operation).with_retry(Retry::Unknown),
        Native::AuthenticationFailed | Native::Server(ServerErrorKind::NoPerm) => {
            (ErrorKind::Unauthorized, permission(error), Retry::Never)
        }
        Native::Server(
            ServerErrorKind::BusyLoading
            | ServerErrorKind::TryAgain
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::MasterDown
            | ServerErrorKind::NoScript
            | ServerErrorKind::ReadOnly,
        ) => (ErrorKind::Unavailable, problem(error), Retry::Safe),
        _ => match code(error) {
            Some("NOAUTH" | "WRONGPASS" | "NOPERM") => (ErrorKind::Unauthorized, permission(error), Retry::Never),
            Some("OOM") => {
                let message = "the server is out of memory (maxmemory) and refuses writes".to_owned();
                (ErrorKind::ResourceExhausted, message, Retry::Safe)
            }
            Some("BUSY" | "MISCONF" | "NOREPLICAS" | "READONLY") => {
                (ErrorKind::Unavailable, problem(error), Retry::Safe)
            }
            _ => (ErrorKind::Backend, problem(error), Retry::Never),
        },
    };
    Error::new(kind, operation, message).with_retry(retry)
}

/// The error's code. Redis 6 wraps what fails within a script into an `ERR` of its own.
fn code(error: &RedisError) -> Option<&str> {
    let wrapped = error.detail().unwrap_or_default();
    if ["The user executing the script can't", "ACL failure in script"].iter().any(|text| wrapped.contains(text)) {
        return Some("NOPERM");
    }
    let inner = ["OOM", "READONLY", "NOPERM", "MISCONF", "NOREPLICAS"];
    let inner = inner.into_iter().find(|code| wrapped.contains(&format!("-{code} ")));
    inner.or_else(|| error.code())
}

fn permission(error: &RedisError) -> String {
    match code(error) {
        Some("NOPERM") => {
            "the user lacks a permission (NOPERM); linchpin_redis::COMMANDS lists what it needs, besides its \
             namespace's keys and channels"
                .to_owned()
        }
        Some("NOAUTH") => "the server wants a password; write redis://user:password@host in the URL".to_owned(),
        _ => "the server did not accept the user or password in the URL".to_owned(),
    }
}

/// The server's own code. Its words may quote what was sent, so they stay in the source.
fn problem(error: &RedisError) -> String {
    let code = error.code().map_or_else(|| error.category().to_owned(), str::to_owned);
    format!("the server answered {code}; its own words are in the source")
}
