//! Where the server is and how to talk to it.

use linchpin_adapter::tls::Material;
use linchpin_adapter::url::{Common, Parts, decoded, invalid};
use linchpin_core::{Namespace, Result};
use redis::{ProtocolVersion, RedisConnectionInfo};
use rustls::ClientConfig;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

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
    material: Material,
    pub(crate) common: Common,
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
        let parts = Parts::of(url, <Self as linchpin_adapter::Config>::SCHEMES)?;
        let address = format!("{}://{}", parts.scheme, parts.address);
        let parsed = Url::parse(&address).map_err(|error| invalid(format!("the URL cannot be read: {error}")))?;
        let host = parsed.host_str().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| invalid("the URL has no host; write redis://localhost:6379"))?;
        let mut config = Self {
            tls: parts.scheme == "rediss",
            host: host.trim_matches(['[', ']']).to_owned(),
            port: parsed.port().unwrap_or(6379),
            database: database(parsed.path())?,
            username: login(parsed.username())?,
            password: parsed.password().map(login).transpose()?.flatten(),
            material: Material::default(),
            common: Common::default(),
        };
        let known = format!("{}, tls_ca", Common::KEYS);
        parts.read_query(&known, |key, value| match key {
            "tls_ca" => config.material.set(key, value),
            _ => config.common.set(key, value),
        })?;
        Ok(config)
    }

    /// Lives in this namespace.
    pub fn namespace(mut self, namespace: Namespace) -> Self {
        self.common.namespace = namespace;
        self
    }

    /// Trusts only the certificate authorities in this PEM text, instead of the system's.
    pub fn root_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.material.trust(pem);
        self
    }

    /// How long setting up a connection may take; 2 seconds unless told.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.common.connect_timeout = timeout;
        self
    }

    /// How long the server may take to answer a command; 5 seconds unless told.
    pub fn response_timeout(mut self, timeout: Duration) -> Self {
        self.common.response_timeout = timeout;
        self
    }

    /// What TLS trusts; nothing without TLS.
    pub(crate) fn tls(&self) -> Result<Option<Arc<ClientConfig>>> {
        self.tls.then(|| self.material.client_config(true).map(Arc::new)).transpose()
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

fn login(text: &str) -> Result<Option<String>> {
    if text.is_empty() {
        return Ok(None);
    }
    decoded("user or password", text).map(Some)
}

impl linchpin_adapter::Config for RedisConfig {
    const SCHEMES: &'static [&'static str] = &["redis", "rediss"];

    fn from_url(url: &str) -> Result<Self> {
        Self::from_url(url)
    }

    fn with_namespace(self, namespace: Namespace) -> Self {
        self.namespace(namespace)
    }

    fn namespace(&self) -> &Namespace {
        &self.common.namespace
    }

    fn address(&self) -> String {
        format!("{}://{}:{}", if self.tls { "rediss" } else { "redis" }, self.host, self.port)
    }
}

impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConfig")
            .field("address", &linchpin_adapter::Config::address(self))
            .field("database", &self.database)
            .field("credentials", &(self.username.is_some() || self.password.is_some()))
            .field("common", &self.common)
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
        assert_eq!((config.common.namespace.as_str(), config.common.response_timeout), ("a", Duration::from_millis(7)));
    }

    #[test]
    fn a_wrong_url_says_what_is_wrong_and_never_repeats_the_password() {
        for (url, word) in [
            ("nonsense", "cannot be read"),
            ("http://h", "scheme"),
            ("redis://", "host"),
            ("redis://u:canary@h/x", "database"),
            ("redis://u:1/canary@h", "%2F"),
            ("redis://u:1?canary@h", "%3F"),
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
