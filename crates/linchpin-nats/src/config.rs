//! Where the servers are and how to talk to them.

use crate::servers::{Login, read_servers};
use async_nats::{ConnectOptions, ServerAddr};
use linchpin_adapter::tls::Material;
use linchpin_adapter::url::{Common, Parts, file, invalid, yes_or_no};
use linchpin_core::{Namespace, Result};
use std::fmt;
use std::time::Duration;

/// How often the server is asked whether it is there. async-nats gives a connection up when the third
/// question in a row is due and nothing was answered: three times this after the last sign of life.
const PING_INTERVAL: Duration = Duration::from_secs(2);
const FIRST_RECONNECT_DELAY: Duration = Duration::from_millis(20);
const LONGEST_RECONNECT_DELAY: Duration = Duration::from_millis(250);

/// Where the servers are and how to talk to them. `Debug` shows no secret.
///
/// ```
/// use linchpin_core::Namespace;
/// use linchpin_nats::NatsConfig;
/// let config = NatsConfig::from_url("nats://app:secret@localhost:4222?namespace=orders")?;
/// assert!(!format!("{config:?}").contains("secret"));
/// let other = config.namespace(Namespace::new("billing")?);
/// # Ok::<(), linchpin_core::Error>(())
/// ```
#[derive(Clone)]
pub struct NatsConfig {
    /// Without user and password, with the port; all have the same scheme.
    servers: Vec<ServerAddr>,
    login: Login,
    material: Material,
    tls_first: bool,
    pub(crate) replicas: usize,
    pub(crate) common: Common,
}

impl NatsConfig {
    /// Reads `nats://[user:password@|token@]host[:port][,host[:port]...][?key=value&...]`, or `tls://` to
    /// refuse a server without TLS. Several servers are hosts or whole URLs, separated by commas; they share
    /// the user and password, or the token, of the first. The port is 4222 unless told.
    ///
    /// Query keys: `namespace` (default `default`); `replicas` (1, 3 or 5; default 1), of the streams that
    /// are created; `connect_timeout_ms` (2000) and `response_timeout_ms` (5000). Paths of files:
    /// `credentials`, a `.creds` file; `nkey`, a file with the seed of an nkey; `tls_ca`, a PEM file with the
    /// only certificate authority to trust; `tls_cert` and `tls_key`, PEM files with the client's certificate
    /// and its key. `tls_first` (`true` or `false`) is for servers with `handshake_first`. Any `tls_` key
    /// refuses a server without TLS, as `tls://` does.
    ///
    /// # Errors
    /// `InvalidArgument` if it is no such URL, has a query key that is not one of these, or names a file
    /// that cannot be read. The message never repeats the user, password or token.
    pub fn from_url(url: &str) -> Result<Self> {
        let parts = Parts::of(url, <Self as linchpin_adapter::Config>::SCHEMES)?;
        let (servers, login) = read_servers(parts.scheme, parts.address)?;
        let (material, common) = Default::default();
        let mut config = Self { servers, login, material, tls_first: false, replicas: 1, common };
        let known = format!("{}, replicas, credentials, nkey, {}, tls_first", Common::KEYS, Material::KEYS);
        parts.read_query(&known, |key, value| config.set(key, value))?;
        config.material.check_pair()?;
        Ok(config)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<bool> {
        match key {
            "replicas" => self.replicas = replicas(value)?,
            "tls_first" => self.tls_first = yes_or_no(key, value)?,
            "credentials" => self.set_login(Login::Credentials(read_text(key, value)?))?,
            "nkey" => self.set_login(Login::NkeySeed(read_text(key, value)?.trim().to_owned()))?,
            _ => return Ok(self.material.set(key, value)? || self.common.set(key, value)?),
        }
        Ok(true)
    }

    fn set_login(&mut self, login: Login) -> Result<()> {
        if self.login != Login::None {
            let kinds = "a user and password, a token, `credentials` and `nkey`";
            return Err(invalid(format!("the URL has more than one way to log in; give one of {kinds}")));
        }
        self.login = login;
        Ok(())
    }

    /// Lives in this namespace.
    pub fn namespace(mut self, namespace: Namespace) -> Self {
        self.common.namespace = namespace;
        self
    }

    /// How many servers keep a copy of each stream that is created: 1, 3 or 5; 1 unless told. Connecting
    /// refuses any other number.
    pub fn replicas(mut self, replicas: usize) -> Self {
        self.replicas = replicas;
        self
    }

    /// Trusts only the certificate authorities in this PEM text, instead of the system's, and refuses
    /// servers without TLS.
    pub fn root_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.material.trust(pem);
        self
    }

    /// Shows servers this certificate (PEM, with its chain), proven by this key (PEM), and refuses servers
    /// without TLS.
    pub fn client_certificate(mut self, certificate: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.material.show(certificate, key);
        self
    }

    /// Starts TLS before the server says anything: for servers with `handshake_first`. Refuses servers
    /// without TLS.
    pub fn tls_first(mut self, first: bool) -> Self {
        self.tls_first = first;
        self
    }

    /// Logs in with this token, and no other way.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.login = Login::Token(token.into());
        self
    }

    /// Logs in with this user and password, and no other way.
    pub fn user_and_password(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.login = Login::User { name: user.into(), password: password.into() };
        self
    }

    /// Logs in with the nkey of this seed (`SU...`), and no other way.
    pub fn nkey_seed(mut self, seed: impl Into<String>) -> Self {
        self.login = Login::NkeySeed(seed.into());
        self
    }

    /// Logs in with the text of a `.creds` file, and no other way.
    pub fn credentials(mut self, text: impl Into<String>) -> Self {
        self.login = Login::Credentials(text.into());
        self
    }

    /// How long setting up a connection to one server may take; 2 seconds unless told.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.common.connect_timeout = timeout;
        self
    }

    /// How long the server may take to answer a request; 5 seconds unless told.
    pub fn response_timeout(mut self, timeout: Duration) -> Self {
        self.common.response_timeout = timeout;
        self
    }

    /// The servers, without secrets.
    pub(crate) fn servers(&self) -> Vec<ServerAddr> {
        self.servers.clone()
    }

    /// What async-nats is to be told; who connects adds the callback for events.
    ///
    /// TLS is required by these options and not by the scheme of an address alone: addresses that a server
    /// tells of later have no scheme, and would be spoken to in clear.
    pub(crate) fn options(&self) -> Result<ConnectOptions> {
        check_replicas(self.replicas)?;
        // A server may insist on TLS although the URL does not, so there is always a TLS configuration.
        let required = self.tls_required();
        let tls = self.material.client_config(required)?;
        let options = ConnectOptions::new()
            .name("linchpin")
            .require_tls(required)
            .tls_client_config(tls)
            .connection_timeout(self.common.connect_timeout)
            // The layers above bound every call.
            .request_timeout(None)
            .ping_interval(PING_INTERVAL)
            .max_reconnects(None)
            .reconnect_delay_callback(reconnect_delay);
        self.login.apply(if self.tls_first { options.tls_first() } else { options })
    }

    /// Whether a server without TLS is refused: also where the URL is `nats://`, once it speaks of TLS.
    fn tls_required(&self) -> bool {
        self.material.is_given() || self.tls_first || self.servers.iter().any(ServerAddr::tls_required)
    }
}

impl linchpin_adapter::Config for NatsConfig {
    const SCHEMES: &'static [&'static str] = &["nats", "tls"];

    fn from_url(url: &str) -> Result<Self> {
        Self::from_url(url)
    }

    fn with_namespace(self, namespace: Namespace) -> Self {
        self.namespace(namespace)
    }

    fn namespace(&self) -> &Namespace {
        &self.common.namespace
    }

    /// The servers' addresses, separated by commas.
    fn address(&self) -> String {
        self.servers.iter().map(ServerAddr::as_url_str).collect::<Vec<_>>().join(",")
    }
}

fn read_text(key: &str, path: &str) -> Result<String> {
    String::from_utf8(file(key, path, true)?).map_err(|_| invalid(format!("{key}: the file is not text")))
}

fn replicas(value: &str) -> Result<usize> {
    value.parse().map_or_else(|_| check_replicas(0), check_replicas)
}

fn check_replicas(number: usize) -> Result<usize> {
    match number {
        1 | 3 | 5 => Ok(number),
        _ => Err(invalid("replicas is 1, 3 or 5")),
    }
}

/// How long to wait before the attempt with this number, counted from 1 over all servers since the last
/// connection: nothing before the first one, which may be the first ever; then 20 ms, doubling up to 250 ms, and of
/// that a random part between half and all, so that clients do not come back in step.
fn reconnect_delay(attempt: usize) -> Duration {
    let Some(before) = attempt.checked_sub(2) else { return Duration::ZERO };
    let doublings = u32::try_from(before).unwrap_or(u32::MAX).min(16);
    let longest = (FIRST_RECONNECT_DELAY * 2_u32.pow(doublings)).min(LONGEST_RECONNECT_DELAY);
    longest.mul_f64(0.5 + fastrand::f64() / 2.0)
}

impl fmt::Debug for NatsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsConfig")
            .field("address", &linchpin_adapter::Config::address(self))
            .field("tls_required", &self.tls_required())
            .field("credentials", &(self.login != Login::None))
            .field("replicas", &self.replicas)
            .field("common", &self.common)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
