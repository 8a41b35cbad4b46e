//! Reading the URL of a backend. No error repeats what may be a password: a `?`, `#` or `/` that was not escaped in one
//! may end up anywhere.
//!
//! ```
//! use linchpin_adapter::url::{Common, Parts, decoded, invalid, milliseconds, yes_or_no};
//! use linchpin_core::Result;
//! use std::time::Duration;
//!
//! /// `desk://user:password@room?wait_ms=...&read_only=...`, and what every URL has.
//! #[derive(Default)]
//! struct DeskConfig {
//!     common: Common,
//!     password: String,
//!     wait: Duration,
//!     read_only: bool,
//! }
//!
//! fn from_url(url: &str) -> Result<DeskConfig> {
//!     let (parts, mut config) = (Parts::of(url, &["desk"])?, DeskConfig::default());
//!     let login = parts.address.split_once('@').map(|(login, _)| login);
//!     let (_, password) = login.and_then(|login| login.split_once(':')).ok_or_else(|| invalid("no login"))?;
//!     config.password = decoded("password", password)?;
//!     parts.read_query(&format!("{}, wait_ms, read_only", Common::KEYS), |key, value| {
//!         match key {
//!             "wait_ms" => config.wait = milliseconds(key, value)?,
//!             "read_only" => config.read_only = yes_or_no(key, value)?,
//!             _ => return config.common.set(key, value),
//!         }
//!         Ok(true)
//!     })?;
//!     Ok(config)
//! }
//!
//! let config = from_url("desk://app:p%40ss@room?namespace=orders&wait_ms=250&read_only=true")?;
//! assert_eq!((config.password.as_str(), config.common.namespace.as_str()), ("p@ss", "orders"));
//! assert_eq!((config.wait, config.read_only), (Duration::from_millis(250), true));
//! for url in ["desk://room", "desk://app:%ff@room", "desk://a:b@room?wait_ms=0", "desk://a:b@room?read_only=yes"] {
//!     assert!(from_url(url).is_err(), "{url}");
//! }
//! # Ok::<(), linchpin_core::Error>(())
//! ```

use linchpin_core::{Error, Namespace, Result};
use std::borrow::Cow;
use std::fmt;
use std::time::Duration;
use url::form_urlencoded;

/// What is wrong with a URL or a configuration: one line, lower case, no secret.
///
/// ```
/// use linchpin_adapter::url::invalid;
/// use linchpin_core::ErrorKind;
///
/// let error = invalid("the URL names no room");
/// assert_eq!((error.kind(), error.operation()), (ErrorKind::InvalidArgument, "connect"));
/// ```
pub fn invalid(problem: impl Into<Cow<'static, str>>) -> Error {
    Error::invalid("connect", problem)
}

/// A URL as far as it is the same for every backend: `scheme://` something `?key=value&...`.
///
/// ```
/// use linchpin_adapter::url::Parts;
/// let parts = Parts::of("sqlite:///var/lib/app.db?namespace=orders", &["sqlite"])?;
/// assert_eq!((parts.scheme, parts.address, parts.query), ("sqlite", "/var/lib/app.db", "namespace=orders"));
/// # Ok::<(), linchpin_core::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Parts<'u> {
    /// What stands before `://`: one of those that were asked for.
    pub scheme: &'u str,
    /// What stands between that and the query, as it is written: see [`decoded`]. It may hold a password.
    pub address: &'u str,
    /// What stands behind the first `?`.
    pub query: &'u str,
}

impl fmt::Debug for Parts<'_> {
    /// Without the rest: it may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").field("scheme", &self.scheme).finish_non_exhaustive()
    }
}

impl<'u> Parts<'u> {
    /// Takes a URL apart whose scheme has to be one of `schemes`.
    ///
    /// # Errors
    /// `InvalidArgument` if it has another scheme or none, a fragment, or an `@` after a `?`.
    pub fn of(url: &'u str, schemes: &[&'u str]) -> Result<Self> {
        if url.contains('#') {
            return Err(invalid("the URL has a fragment (`#...`); escape a `#` in a password as %23"));
        }
        let (start, query) = url.split_once('?').unwrap_or((url, ""));
        if query.contains('@') {
            // Then the query may be the rest of a password: nothing of it is looked at.
            let advice = "escape a `?` in a password as %3F, and an `@` in the value of a query key as %40";
            return Err(invalid(format!("the URL has an `@` after a `?`; {advice}")));
        }
        let Some((scheme, address)) = start.split_once("://") else {
            let first = schemes.first().copied().unwrap_or_default();
            return Err(invalid(format!("the URL cannot be read; it starts with {first}://")));
        };
        let Some(scheme) = schemes.iter().find(|known| known.eq_ignore_ascii_case(scheme)) else {
            return Err(invalid(format!("the scheme of the URL is not {}", schemes.join(" or "))));
        };
        Ok(Self { scheme, address, query })
    }

    /// Reads the keys of the query, in their order: `set` takes a key and its value, decoded, and says whether it knows
    /// the key.
    ///
    /// # Errors
    /// `InvalidArgument` for a key that it does not know, naming `known`; what `set` fails with.
    pub fn read_query(&self, known: &str, mut set: impl FnMut(&str, &str) -> Result<bool>) -> Result<()> {
        for (key, value) in form_urlencoded::parse(self.query.as_bytes()) {
            if !set(&key, &value)? {
                return Err(invalid(format!("the query key {key:?} is unknown; known are {known}")));
            }
        }
        Ok(())
    }
}

/// The settings that every backend with a server has, by the names that every URL has them by.
///
/// ```
/// use linchpin_adapter::url::{Common, Parts};
/// use std::time::Duration;
///
/// let parts = Parts::of("sqlite://app.db?response_timeout_ms=250&journal=wal", &["sqlite"])?;
/// let (mut common, mut journal) = (Common::default(), String::new());
/// parts.read_query(&format!("{}, journal", Common::KEYS), |key, value| {
///     if key == "journal" {
///         journal = value.to_owned();
///         return Ok(true);
///     }
///     common.set(key, value)
/// })?;
/// assert_eq!((common.response_timeout, journal.as_str()), (Duration::from_millis(250), "wal"));
/// # Ok::<(), linchpin_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Common {
    /// The namespace to live in.
    pub namespace: Namespace,
    /// How long setting up a connection may take.
    pub connect_timeout: Duration,
    /// How long the server may take to answer.
    pub response_timeout: Duration,
}

impl Common {
    /// Their names, for [`Parts::read_query`].
    pub const KEYS: &str = "namespace, connect_timeout_ms, response_timeout_ms";

    /// Takes a query key if it is one of these; whether it was.
    ///
    /// # Errors
    /// `InvalidArgument` if its value is none.
    pub fn set(&mut self, key: &str, value: &str) -> Result<bool> {
        match key {
            "namespace" => self.namespace = Namespace::new(value)?,
            "connect_timeout_ms" => self.connect_timeout = milliseconds(key, value)?,
            "response_timeout_ms" => self.response_timeout = milliseconds(key, value)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Default for Common {
    /// The default namespace, 2 seconds to connect, 5 to answer.
    fn default() -> Self {
        let (connect_timeout, response_timeout) = (Duration::from_secs(2), Duration::from_secs(5));
        Self { namespace: Namespace::default(), connect_timeout, response_timeout }
    }
}

/// Undoes percent-encoding; `what` says what it is, without an article.
///
/// # Errors
/// `InvalidArgument` if it is not UTF-8 then.
pub fn decoded(what: &str, text: &str) -> Result<String> {
    let decoded = percent_encoding::percent_decode_str(text).decode_utf8();
    decoded.map(Cow::into_owned).map_err(|_| invalid(format!("the {what} is not UTF-8 once decoded")))
}

/// A number of milliseconds.
///
/// # Errors
/// `InvalidArgument` if it is none, or 0.
pub fn milliseconds(key: &str, value: &str) -> Result<Duration> {
    match value.parse() {
        Ok(number) if number > 0 => Ok(Duration::from_millis(number)),
        _ => Err(invalid(format!("{key} is a number of milliseconds greater than 0, not {value:?}"))),
    }
}

/// `true` or `false`.
///
/// # Errors
/// `InvalidArgument` if it is neither.
pub fn yes_or_no(key: &str, value: &str) -> Result<bool> {
    value.parse().map_err(|_| invalid(format!("{key} is true or false, not {value:?}")))
}

/// Reads the file that a key names.
///
/// # Errors
/// `InvalidArgument` if it cannot be read. The path of a secret is not repeated: it may be the secret itself.
///
/// ```
/// use linchpin_adapter::url::file;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let path = std::env::temp_dir().join(format!("linchpin-doc-file-{}", std::process::id()));
/// # std::fs::write(&path, "s3cret")?;
/// # let path = path.to_str().ok_or("not UTF-8")?;
/// assert_eq!(file("password_file", path, true)?, b"s3cret");
/// # std::fs::remove_file(path)?;
/// // Somebody wrote the password where its file should be named.
/// let error = file("password_file", "s3cret", true).expect_err("no such file");
/// assert!(!error.to_string().contains("s3cret"));
/// # Ok(())
/// # }
/// ```
pub fn file(key: &str, path: &str, is_secret: bool) -> Result<Vec<u8>> {
    let named = if is_secret { "the file of this path".to_owned() } else { format!("{path:?}") };
    std::fs::read(path).map_err(|error| invalid(format!("{key}: {named} cannot be read")).with_source(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem<T>(result: Result<T>) -> String {
        result.err().expect("it is wrong").to_string()
    }

    #[test]
    fn a_password_that_was_not_escaped_is_never_repeated() {
        for (url, word) in [
            ("canary", "start"),
            ("u:canary@h", "starts with a://"),
            ("canary://h", "not a or b"),
            ("a://u:1#canary@h", "%23"),
            ("a://u:1?canary@h", "%3F"),
            ("a://u:1?namespace=canary@h", "%3F"),
        ] {
            let text = problem(Parts::of(url, &["a", "b"]));
            assert!(text.contains(word) && !text.contains("canary"), "{url}: {text}");
        }
        assert!(!problem(file("key", "/no/canary", true)).contains("canary"));
        assert!(problem(file("tls_ca", "/no/such", false)).contains("/no/such"));
    }

    #[test]
    fn keys_are_decoded_and_unknown_ones_refused() {
        let parts = Parts::of("a://h?namespace=a%2Eb&response_timeout_ms=7&b=%26", &["a"]).expect("valid");
        let (mut common, mut own) = (Common::default(), String::new());
        let set = |key: &str, value: &str| {
            if key == "b" {
                value.clone_into(&mut own);
                return Ok(true);
            }
            common.set(key, value)
        };
        parts.read_query("these", set).expect("known");
        assert_eq!((common.namespace.as_str(), common.response_timeout, &*own), ("a.b", Duration::from_millis(7), "&"));
        let refused =
            |url| Parts::of(url, &["a"]).and_then(|parts| parts.read_query("these", |k, v| common.clone().set(k, v)));
        for (url, word) in [
            ("a://h?c=1", "known are these"),
            ("a://h?connect_timeout_ms=0", "milliseconds"),
            ("a://h?namespace=A", "namespace"),
        ] {
            let text = problem(refused(url));
            assert!(text.contains(word), "{url}: {text}");
        }
        assert!(decoded("user", "%ff").is_err() && yes_or_no("k", "yes").is_err());
    }
}
