//! Where the server is and how to talk to it.

use linchpin_core::{Error, Namespace, Result};
use redis::{ProtocolVersion, RedisConnectionInfo};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

const CONNECT: &str = "connect";

/// Where the server is and how to talk to it. `Debug` shows no secret.
///
/// ```
/// use linchpin_core::Namespace;
/// use linchpin_redis::RedisConfig;
/// let config = RedisConfig::from_url("redis://app:secret@localhost:6379/0?namespace=orders")?;
/// assert!(!format!("{config:?}").contains("secret"));
/// let other = config.namespace(Namespace::new("billing")?);
/// # Ok::<(), linchpin_core::Error>(())
/// ```
#[derive(Clone)]
pub struct RedisConfig {
    tls: bool,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) database: i64,
    username: Option<String>,
    password: Option<String>,
    root_certificate: Option<Vec<u8>>,
    pub(crate) namespace: Namespace,
    pub(crate) connect_timeout: Duration,
    pub(crate) response_timeout: Duration,
}

impl RedisConfig {
    /// Reads `redis://[user[:password]@]host[:port][/database][?key=value&...]`, or `rediss://` for TLS.
    ///
    /// Query keys: `namespace` (default `default`); `connect_timeout_ms` (2000) and `response_timeout_ms`
    /// (5000); `tls_ca`, the path of a PEM file with the only certificate authority to trust.
    ///
    /// # Errors
    /// `InvalidArgument` if it is no such URL, or has a query key that is not one of these. The message
    /// never repeats the user or password.
    pub fn from_url(url: &str) -> Result<Self> {
        let parsed = Url::parse(url).map_err(|error| invalid(format!("the URL cannot be read: {error}")))?;
        let tls = match parsed.scheme() {
            "redis" => false,
            "rediss" => true,
            other => return Err(invalid(format!("the scheme {other:?} is not redis or rediss"))),
        };
        let host = parsed.host_str().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| invalid("the URL has no host; write redis://localhost:6379"))?;
        let mut config = Self {
            tls,
            host: host.trim_matches(['[', ']']).to_owned(),
            port: parsed.port().unwrap_or(6379),
            database: database(parsed.path())?,
            username: decoded(parsed.username())?,
            password: parsed.password().map(decoded).transpose()?.flatten(),
            root_certificate: None,
            namespace: Namespace::default(),
            connect_timeout: Duration::from_secs(2),
            response_timeout: Duration::from_secs(5),
        };
        for (key, value) in parsed.query_pairs() {
            config.set(&key, &value)?;
        }
        if parsed.fragment().is_some() {
            return Err(invalid("the URL has a fragment (`#...`); escape a `#` in a password as %23"));
        }
        Ok(config)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        match key {
            "namespace" => self.namespace = Namespace::new(value)?,
            "connect_timeout_ms" => self.connect_timeout = milliseconds(key, value)?,
            "response_timeout_ms" => self.response_timeout = milliseconds(key, value)?,
            "tls_ca" => {
                let read = std::fs::read(value);
                let unread = |error| invalid(format!("tls_ca: {value:?} cannot be read")).with_source(error);
                self.root_certificate = Some(read.map_err(unread)?);
            }
            other => {
                let known = "namespace, connect_timeout_ms, response_timeout_ms, tls_ca";
                // Not repeated if it may be the rest of a password with a `?` that was not escaped.
                let name = if other.contains('@') { "in the URL".to_owned() } else { format!("{other:?}") };
                return Err(invalid(format!("the query key {name} is unknown; known are {known}")));
            }
        }
        Ok(())
    }

    /// Lives in this namespace.
    pub fn namespace(mut self, namespace: Namespace) -> Self {
        self.namespace = namespace;
        self
    }

    /// Trusts only the certificate authorities in this PEM text, instead of the system's.
    pub fn root_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.root_certificate = Some(pem.into());
        self
    }

    /// How long setting up a connection may take; 2 seconds unless told.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long the server may take to answer a command; 5 seconds unless told.
    pub fn response_timeout(mut self, timeout: Duration) -> Self {
        self.response_timeout = timeout;
        self
    }

    /// The server's address, without secrets.
    pub(crate) fn address(&self) -> String {
        format!("{}://{}:{}", if self.tls { "rediss" } else { "redis" }, self.host, self.port)
    }

    /// What TLS trusts; nothing without TLS.
    pub(crate) fn tls(&self) -> Result<Option<Arc<ClientConfig>>> {
        if !self.tls {
            return Ok(None);
        }
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            // Somebody else may be quicker; then theirs is used.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let mut trusted = RootCertStore::empty();
        if let Some(pem) = &self.root_certificate {
            let unread = "the certificate authority to trust is no certificate in PEM";
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate = certificate.map_err(|error| invalid(unread).with_source(error))?;
                trusted.add(certificate).map_err(|error| invalid(unread).with_source(error))?;
            }
            if trusted.is_empty() {
                return Err(invalid(unread));
            }
        } else {
            let found = rustls_native_certs::load_native_certs();
            trusted.add_parsable_certificates(found.certs);
            if trusted.is_empty() {
                return Err(invalid("the system has no certificate authorities to trust; name one with tls_ca"));
            }
        }
        Ok(Some(Arc::new(ClientConfig::builder().with_root_certificates(trusted).with_no_client_auth())))
    }

    /// As whom to log in, and where to.
    pub(crate) fn login(&self, protocol: ProtocolVersion) -> RedisConnectionInfo {
        let mut login = RedisConnectionInfo::default().set_db(self.database).set_protocol(protocol);
        if let Some(username) = &self.username {
            login = login.set_username(username);
        }
        if let Some(password) = &self.password {
            login = login.set_password(password);
        }
        login
    }
}

fn invalid(problem: impl Into<String>) -> Error {
    Error::invalid(CONNECT, problem.into())
}

fn database(path: &str) -> Result<i64> {
    match path.trim_matches('/') {
        "" => Ok(0),
        text => text
            .parse()
            .ok()
            .filter(|number| *number >= 0)
            // Not repeated: a `/` that was not escaped in a password ends up here.
            .ok_or_else(|| invalid("the path is not the number of a database; escape a `/` in a password as %2F")),
    }
}

fn decoded(text: &str) -> Result<Option<String>> {
    if text.is_empty() {
        return Ok(None);
    }
    percent_encoding::percent_decode_str(text)
        .decode_utf8()
        .map(|decoded| Some(decoded.into_owned()))
        .map_err(|_| invalid("the user or password is not UTF-8 once decoded"))
}

fn milliseconds(key: &str, value: &str) -> Result<Duration> {
    match value.parse() {
        Ok(number) if number > 0 => Ok(Duration::from_millis(number)),
        _ => Err(invalid(format!("{key} is a number of milliseconds greater than 0, not {value:?}"))),
    }
}

impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConfig")
            .field("address", &self.address())
            .field("database", &self.database)
            .field("credentials", &(self.username.is_some() || self.password.is_some()))
            .field("namespace", &self.namespace)
            .field("connect_timeout", &self.connect_timeout)
            .field("response_timeout", &self.response_timeout)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read() {
        let config =
            RedisConfig::from_url("rediss://me:p%40ss@[::1]:7000/3?namespace=a&response_timeout_ms=7").expect("valid");
        assert_eq!((config.tls, config.host.as_str(), config.port, config.database), (true, "::1", 7000, 3));
        assert_eq!((config.username.as_deref(), config.password.as_deref()), (Some("me"), Some("p@ss")));
        assert_eq!((config.namespace.as_str(), config.response_timeout), ("a", Duration::from_millis(7)));
    }

    #[test]
    fn a_wrong_url_says_what_is_wrong_and_never_repeats_the_password() {
        for (url, word) in [
            ("nonsense", "cannot be read"),
            ("http://h", "scheme"),
            ("redis://", "host"),
            ("redis://u:canary@h/x", "database"),
            ("redis://u:1/canary@h", "%2F"),
            ("redis://u:1?canary@h", "unknown"),
            ("redis://u:canary@h?namespace=A", "namespace"),
            ("redis://u:canary@h?colour=red", "colour"),
            ("redis://u:canary@h?response_timeout_ms=0", "milliseconds"),
            ("redis://u:canary@h#x", "fragment"),
            ("redis://u:%ff-canary@h", "UTF-8"),
            ("redis://u:canary@h:99999", "cannot be read"),
        ] {
            let error = RedisConfig::from_url(url).expect_err(url);
            let text = format!("{error} {error:?}");
            assert!(text.contains(word) && !text.contains("canary"), "{url}: {text}");
        }
    }
}
