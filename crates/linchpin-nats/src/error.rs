//! The only place that maps the client's and the server's errors.

use async_nats::{ConnectError, ConnectErrorKind};
use linchpin_core::{Error, ErrorKind, Retry};
use serde::Deserialize;
use std::error::Error as _;
use std::io;
use std::time::Duration;

pub(crate) const CHECK: &str = "check host and port, and that both sides use TLS or neither does";

/// The server's refusal of a request to JetStream.
#[derive(Clone, Debug, Deserialize, thiserror::Error)]
#[error("{description} (code {err_code})")]
pub(crate) struct Refusal {
    #[serde(default)]
    pub(crate) err_code: u64,
    #[serde(default)]
    pub(crate) description: String,
}

impl Refusal {
    const NO_STREAM: u64 = 10059;
    const NO_MESSAGE: u64 = 10037;

    /// Nobody answers where a stream would: there is none of that name.
    pub(crate) fn nobody() -> Self {
        Self { err_code: Self::NO_STREAM, description: "no responders".to_owned() }
    }

    pub(crate) fn is_no_stream(&self) -> bool {
        self.err_code == Self::NO_STREAM
    }

    pub(crate) fn is_no_message(&self) -> bool {
        self.err_code == Self::NO_MESSAGE
    }

    /// The error that a user is told. A refused request changed nothing.
    pub(crate) fn into_error(self, operation: &'static str) -> Error {
        let code = self.err_code;
        let (kind, message, retry) = match code {
            // Cluster not available, no leader, temporarily not available.
            10008 | 10009 | 10041 | 10118 => {
                (ErrorKind::Unavailable, "the cluster has no leader for this now".to_owned(), Retry::Safe)
            }
            10002 | 10023 | 10027 | 10028 | 10047 | 10077 | 10113 | 10122 => {
                (ErrorKind::ResourceExhausted, "the server has no room for this".to_owned(), Retry::Safe)
            }
            10039 | 10076 => (
                ErrorKind::Unsupported,
                "JetStream is not enabled; start the server with -js, or enable it for the account".to_owned(),
                Retry::Never,
            ),
            Self::NO_STREAM => (
                ErrorKind::Unavailable,
                "the stream is not there: it was removed, or JetStream is not enabled".to_owned(),
                Retry::Safe,
            ),
            _ => {
                let message = format!("the server refused it with code {code}; its own words are in the source");
                (ErrorKind::Backend, message, Retry::Never)
            }
        };
        Error::new(kind, operation, message).with_retry(retry).with_source(self)
    }
}

/// An error while the connection was set up: nothing was sent yet.
pub(crate) fn while_connecting(address: &str, error: ConnectError) -> Error {
    let (kind, message, retry) = match error.kind() {
        ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
            let message = format!("{address} did not accept the user, password, token or key");
            (ErrorKind::Unauthorized, message, Retry::Never)
        }
        ConnectErrorKind::TimedOut => {
            let message = format!("{address} did not answer in time while connecting; {CHECK}");
            (ErrorKind::Timeout, message, Retry::Safe)
        }
        ConnectErrorKind::Dns => {
            let message = format!("{address} has a host whose name cannot be looked up");
            (ErrorKind::Unavailable, message, Retry::Safe)
        }
        _ => (ErrorKind::Unavailable, unreachable(address, &error), Retry::Safe),
    };
    Error::new(kind, "connect", message).with_retry(retry).with_source(error)
}

/// Why a server cannot be reached, as far as the client's error tells: it has one kind for most of it.
fn unreachable(address: &str, error: &ConnectError) -> String {
    let io = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    let tls = io.and_then(io::Error::get_ref).and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match (tls, io.map(io::Error::kind)) {
        (Some(rustls::Error::InvalidCertificate(_)), _) => format!(
            "{address} has a certificate that is not trusted: give its authority as ?tls_ca=file, and use the name it is for"
        ),
        (Some(rustls::Error::AlertReceived(_)), _) => {
            format!("{address} did not accept the client's certificate, or wants one: ?tls_cert=file&tls_key=file")
        }
        (None, Some(io::ErrorKind::ConnectionRefused)) => {
            format!("{address} refused the connection: is the server running there?")
        }
        _ => format!("{address} could not be reached; {CHECK}"),
    }
}

pub(crate) fn too_slow(address: &str, limit: Duration) -> Error {
    let problem = format!("{address} did not answer within {limit:?} while connecting; {CHECK}");
    Error::new(ErrorKind::Timeout, "connect", problem).with_retry(Retry::Safe)
}

/// The client has no connection now; nothing was sent.
pub(crate) fn not_connected(operation: &'static str) -> Error {
    let problem = "there is no connection to the server now; it is being rebuilt";
    Error::new(ErrorKind::Unavailable, operation, problem).with_retry(Retry::Safe)
}

/// The connection was lost, and the server does not let this user in again.
pub(crate) fn not_accepted(operation: &'static str) -> Error {
    let problem = "the server does not accept the user, password, token or key any more";
    Error::new(ErrorKind::Unauthorized, operation, problem)
}

/// The connection broke after something was sent.
pub(crate) fn lost(operation: &'static str) -> Error {
    Error::new(ErrorKind::Unavailable, operation, "the connection was lost").with_retry(Retry::Unknown)
}

pub(crate) fn no_answer(operation: &'static str) -> Error {
    Error::new(ErrorKind::Timeout, operation, "the server did not answer in time").with_retry(Retry::Unknown)
}

/// The server said that the user may not publish or subscribe to what this needs.
pub(crate) fn not_permitted(operation: &'static str) -> Error {
    let problem = "the user lacks a permission; linchpin_nats::SUBJECTS lists what it needs";
    Error::new(ErrorKind::Unauthorized, operation, problem)
}
