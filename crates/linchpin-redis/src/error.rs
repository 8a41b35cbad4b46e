//! The only place that maps the client's errors.

use linchpin_core::{Error, ErrorKind, Retry};
use redis::{ErrorKind as Native, RedisError, ServerErrorKind};

pub(crate) const CHECK: &str = "check host and port, and that both sides use TLS or neither does";

/// An error while a connection was set up: nothing was sent yet.
pub(crate) fn while_connecting(operation: &'static str, address: &str, error: RedisError) -> Error {
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

/// An error of a command that was sent.
pub(crate) fn of_command(operation: &'static str, error: RedisError) -> Error {
    // Of several commands that were sent together the client tells the errors, but not what kind they are.
    let first = error.clone().into_server_errors().and_then(|errors| errors.first().map(|(_, error)| error.clone()));
    let error = first.map_or(error, RedisError::from);
    map(operation, &error).with_source(error)
}

fn map(operation: &'static str, error: &RedisError) -> Error {
    let (kind, message, retry) = match error.kind() {
        Native::AuthenticationFailed | Native::Server(ServerErrorKind::NoPerm) => {
            (ErrorKind::Unauthorized, permission(error), Retry::Never)
        }
        Native::Io if error.is_timeout() => {
            (ErrorKind::Timeout, "the server did not answer in time".to_owned(), Retry::Unknown)
        }
        Native::Io => (ErrorKind::Unavailable, "the connection was lost".to_owned(), Retry::Unknown),
        Native::Server(
            ServerErrorKind::BusyLoading
            | ServerErrorKind::TryAgain
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::MasterDown
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
    let inner = ["OOM", "READONLY", "NOPERM", "MISCONF", "NOREPLICAS"];
    let inner = inner.into_iter().find(|code| wrapped.contains(&format!("-{code} ")));
    inner.or_else(|| error.code())
}

fn permission(error: &RedisError) -> String {
    match error.code() {
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

/// The server answered something that this adapter cannot have asked for. What was asked was done before.
pub(crate) fn unexpected(operation: &'static str, what: &str) -> Error {
    let error = Error::new(ErrorKind::Backend, operation, format!("the server's answer cannot be read: {what}"));
    let reads = ["connect", "get", "health", "inspect", "scan", "subscribe", "watch"].contains(&operation);
    if reads { error } else { error.with_retry(Retry::Unknown).with_retry(Retry::Never) }
}
