//! The only place that maps the client's and the server's errors.

use linchpin_core::{Error, ErrorKind, Retry};
use sqlx::postgres::{PgDatabaseError, PgSeverity};
use std::sync::Arc;
use std::time::Duration;

pub(crate) const CHECK: &str = "check host and port, and that both sides use TLS or neither does";

/// What the server said, without the details in which it may quote what it was sent.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message} (SQLSTATE {code})")]
struct Refusal {
    code: String,
    message: String,
    /// The server ends the connection with it.
    ends: bool,
}

/// An error that several callers are told, as they shared a round trip.
#[derive(Clone, Debug, thiserror::Error)]
#[error(transparent)]
struct Shared(Arc<sqlx::Error>);

/// How a call failed, before those who share it are told.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// The client's or the server's error.
    Native(Arc<sqlx::Error>),
    /// The server did not answer within this time.
    Late(Duration),
    /// As `Native`, while connecting to this address: nothing was sent yet.
    Connecting(Arc<str>, Arc<sqlx::Error>),
    /// As `Late`, while connecting to this address.
    ConnectingLate(Arc<str>, Duration),
    /// The server is a standby, whose answers may be old: nothing that it says counts.
    Standby,
    /// The handle was closed before anything was asked.
    Closed,
    /// Within this time there was no connection to ask over.
    Unasked(Duration),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Native(Arc::new(error))
    }
}

impl Failure {
    /// Whether the connection may be used on: the server refused what was asked, and goes on.
    pub(crate) fn leaves_the_connection(&self) -> bool {
        matches!(self, Self::Native(error) if refusal(error).is_some_and(|refused| !refused.is_end()))
    }

    /// Whether the connection was lost, so that what changes nothing may be asked again over another.
    pub(crate) fn is_loss(&self) -> bool {
        matches!(self, Self::Native(_)) && !self.leaves_the_connection()
    }

    /// Whether the server has no connection left.
    pub(crate) fn is_full(&self) -> bool {
        let is_full = |error| refusal(error).is_some_and(|refused| refused.code == "53300");
        matches!(self, Self::Connecting(_, error) if is_full(error))
    }

    pub(crate) fn told(&self, operation: &'static str) -> Error {
        match self {
            Self::Native(error) => of_call(operation, error),
            Self::Late(limit) => Error::timeout(operation, *limit),
            Self::Connecting(address, error) => while_connecting(operation, address, error),
            Self::ConnectingLate(address, limit) => {
                let problem = format!("{address} did not answer within {limit:?} while connecting; {CHECK}");
                Error::new(ErrorKind::Timeout, operation, problem).with_retry(Retry::Safe)
            }
            Self::Standby => Error::new(ErrorKind::Unavailable, operation, STANDBY).with_retry(Retry::Safe),
            Self::Closed => Error::closed(operation),
            Self::Unasked(limit) => Error::timeout(operation, *limit).with_retry(Retry::Safe),
        }
    }
}

/// An error of a call that was sent.
fn of_call(operation: &'static str, error: &Arc<sqlx::Error>) -> Error {
    if let Some(refused) = refusal(error) {
        return of_refusal(operation, refused);
    }
    let (kind, message, retry) = match &**error {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => {
            (ErrorKind::Unavailable, "the connection was lost", Retry::Unknown)
        }
        _ => return Error::unreadable(operation, "the client cannot read it").with_source(Shared(error.clone())),
    };
    Error::new(kind, operation, message).with_retry(retry).with_source(Shared(error.clone()))
}

fn refusal(error: &sqlx::Error) -> Option<Refusal> {
    let refused = error.as_database_error()?.try_downcast_ref::<PgDatabaseError>()?;
    let ends = matches!(refused.severity(), PgSeverity::Fatal | PgSeverity::Panic);
    Some(Refusal { code: refused.code().to_owned(), message: refused.message().to_owned(), ends })
}

impl Refusal {
    /// Whether the connection is of no more use: it ends with this, or it is one to a standby, behind which the server that
    /// takes writes may be found by connecting again.
    fn is_end(&self) -> bool {
        let code = self.code.as_str();
        self.ends || code.starts_with("08") || code.starts_with("57P") || matches!(code, "25P03" | "25006")
    }
}

fn of_refusal(operation: &'static str, refused: Refusal) -> Error {
    let code = refused.code.as_str();
    let (kind, message, retry) = match code {
        "28000" | "28P01" => (ErrorKind::Unauthorized, LOGIN.to_owned(), Retry::Never),
        "42501" => (
            ErrorKind::Unauthorized,
            "the role lacks a privilege; linchpin_postgres::PRIVILEGES says which it needs".to_owned(),
            Retry::Never,
        ),
        "53300" | "53400" => {
            (ErrorKind::ResourceExhausted, "the server has no connection left for this".to_owned(), Retry::Safe)
        }
        _ if code.starts_with("53") || code == "54000" => {
            (ErrorKind::ResourceExhausted, "the server has no room for this".to_owned(), Retry::Safe)
        }
        "57014" => (
            ErrorKind::Timeout,
            "the server gave up on it: it took too long, perhaps as a transaction holds the namespace".to_owned(),
            Retry::Safe,
        ),
        "40001" | "40P01" | "55P03" => (ErrorKind::Unavailable, HELD.to_owned(), Retry::Safe),
        "25006" => (ErrorKind::Unavailable, STANDBY.to_owned(), Retry::Safe),
        "57P05" => (ErrorKind::Unavailable, "the server closed the idle connection".to_owned(), Retry::Safe),
        "57P03" => (ErrorKind::Unavailable, "the server is starting, or shutting down".to_owned(), Retry::Safe),
        "3F000" | "42P01" | "42883" => (
            ErrorKind::Unavailable,
            "the schema linchpin is gone or of another version; connect again to set it up".to_owned(),
            Retry::Safe,
        ),
        _ if refused.is_end() => (ErrorKind::Unavailable, "the server ended the connection".to_owned(), Retry::Unknown),
        _ => (
            ErrorKind::Backend,
            format!("the server refused it with SQLSTATE {code}; its own words are in the source"),
            Retry::Never,
        ),
    };
    Error::new(kind, operation, message).with_retry(retry).with_source(refused)
}

/// Whether a line of `pg_hba.conf` may be missing only as the connection is in clear. A server that speaks another
/// language than English is not understood.
fn wants_tls(refused: &Refusal) -> bool {
    let why = &refused.message;
    why.contains("pg_hba.conf") && (why.ends_with("no encryption") || why.ends_with("SSL off"))
}

const HELD: &str = "others hold what this needs; a transaction of the application may be open";

/// Others held what a call needs for as long as it could wait, and it was not asked.
pub(crate) fn held(operation: &'static str) -> Error {
    Error::new(ErrorKind::Unavailable, operation, HELD).with_retry(Retry::Safe)
}

/// Whether somebody else held what a call needs, for longer than it wanted to wait.
pub(crate) fn is_held(error: &Error) -> bool {
    let source = std::error::Error::source(error);
    source.and_then(|source| source.downcast_ref::<Refusal>()).is_some_and(|refused| refused.code == "55P03")
}

/// An error while a connection was set up: nothing was sent yet.
fn while_connecting(operation: &'static str, address: &str, error: &Arc<sqlx::Error>) -> Error {
    if let Some(refused) = refusal(error) {
        let (kind, message) = match refused.code.as_str() {
            "28000" if wants_tls(&refused) => (ErrorKind::Unauthorized, format!("{address}: {WANTS_TLS}")),
            "28000" | "28P01" => (ErrorKind::Unauthorized, format!("{address}: {LOGIN}")),
            "3D000" => (ErrorKind::InvalidArgument, format!("{address}: the server has no such database")),
            _ => {
                let error = of_refusal(operation, refused).of_read();
                let retry = if error.is_transient() { Retry::Safe } else { Retry::Never };
                return error.with_retry(retry);
            }
        };
        return Error::new(kind, operation, message).with_source(refused);
    }
    let (kind, message, retry) = match &**error {
        sqlx::Error::Io(io) if io.kind() == std::io::ErrorKind::ConnectionRefused => {
            let message = format!("{address} refused the connection: is the server running there?");
            (ErrorKind::Unavailable, message, Retry::Safe)
        }
        sqlx::Error::Tls(why) if why.to_string().contains("does not support TLS") => {
            let advice = "does not offer TLS: turn it on there, or write ?sslmode=disable to do without";
            (ErrorKind::Unavailable, format!("{address} {advice}"), Retry::Never)
        }
        sqlx::Error::Tls(_) => (ErrorKind::Unavailable, format!("{address} {CERTIFICATES}"), Retry::Never),
        sqlx::Error::Io(io) if io.kind() == std::io::ErrorKind::InvalidData => {
            (ErrorKind::Unavailable, format!("{address} {CERTIFICATES}"), Retry::Never)
        }
        sqlx::Error::Configuration(_) => {
            let message = format!("{address}: the client does not accept this configuration");
            (ErrorKind::InvalidArgument, message, Retry::Never)
        }
        _ => (ErrorKind::Unavailable, format!("{address} could not be reached; {CHECK}"), Retry::Safe),
    };
    Error::new(kind, operation, message).with_retry(retry).with_source(Shared(error.clone()))
}

/// Also what `health` says.
pub(crate) const STANDBY: &str = "the server is a standby, or its transactions are read-only: what it says may be old, and it \
                                  refuses writes";
const LOGIN: &str = "the server did not accept the user, password or certificate";
const WANTS_TLS: &str = "the server does not let this user in without TLS: write ?sslmode=verify-full, and ?tls_ca=file for an \
                         authority of your own";
const CERTIFICATES: &str = "has a certificate that is not trusted, or does not accept the client's: give its authority as \
                            ?tls_ca=file, use the name it is for, and give ?tls_cert=file&tls_key=file if it wants one";
