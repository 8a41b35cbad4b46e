//! Where the server is and how to talk to it.

mod place;

use linchpin_adapter::tls::Material;
use linchpin_adapter::url::{Common, Parts, invalid};
use linchpin_core::{Namespace, Result};
use place::Place;
use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use std::fmt;
use std::time::Duration;

/// More than there are statements in this crate.
const STATEMENTS_PREPARED: usize = 100;

/// Where the server is and how to talk to it. `Debug` shows no secret.
///
/// ```
/// use linchpin_core::Namespace;
/// use linchpin_postgres::PostgresConfig;
/// let config = PostgresConfig::from_url("postgres://app:secret@localhost:5432/shop?namespace=orders")?;
/// assert!(!format!("{config:?}").contains("secret"));
/// let other = config.namespace(Namespace::new("billing")?);
/// # Ok::<(), linchpin_core::Error>(())
/// ```
#[derive(Clone)]
pub struct PostgresConfig {
    place: Place,
    username: String,
    password: Option<String>,
    /// Whether TLS is asked for or ruled out in so many words.
    sslmode: Option<bool>,
    material: Material,
    application_name: String,
    pub(crate) common: Common,
    pub(crate) max_connections: usize,
}

const KNOWN: &str = "namespace, connect_timeout_ms, response_timeout_ms, max_connections, application_name, host, port, \
                     sslmode, tls_ca (or sslrootcert), tls_cert (or sslcert), tls_key (or sslkey)";

/// No server has more, and none waits longer: its numbers of milliseconds end there.
const MOST_CONNECTIONS: usize = 262_143;
const LONGEST_TIMEOUT: Duration = Duration::from_millis(2_147_483_647);

/// Fewer do not do: one listens, one asks what waits for nobody, and one what may have to wait for the namespace.
const FEWEST_CONNECTIONS: usize = 3;

impl PostgresConfig {
    /// Reads `postgres://[user[:password]@]host[:port][/database][?key=value&...]`; `postgresql://` is the
    /// same. The port is 5432 unless told, the database is named as the user. A Unix socket is named by its
    /// folder: as the host with each `/` written as %2F, or as the query key `host`.
    ///
    /// Query keys: `namespace` (default `default`); `connect_timeout_ms` (2000) and `response_timeout_ms`
    /// (5000); `max_connections` (5), how many connections a handle uses at most, from 3 to 262143; `application_name`
    /// (`linchpin`), as the server lists its connections; `host` and `port`, instead of those before the query. Paths of files: `tls_ca`, a PEM file with certificate authorities
    /// to trust besides the system's; `tls_cert` and `tls_key`, PEM files with the client's certificate and
    /// its key. `sslrootcert`, `sslcert` and `sslkey` are the same three as libpq names them.
    ///
    /// # TLS
    /// The server's certificate is always verified in full, its name too: `sslmode` is `verify-full` unless
    /// told, and `require` and `verify-ca` mean the same. Only with `sslmode=disable` is the connection in
    /// clear, or by default at a loopback address (unless a `tls_` key is given) and at a Unix socket. `allow`
    /// and `prefer` are refused: whoever can cut a line can also make them go without TLS.
    ///
    /// # Environment
    /// Where the server is stands in the URL alone. Of libpq's variables `PGUSER` (or else the operating system's name of
    /// who runs this, as psql has it) and `PGPASSWORD` stand in for a user and a password that the URL does not have. The
    /// client beneath, sqlx, also heeds `PGOPTIONS`, and with TLS `PGSSLCERT` and `PGSSLKEY` where no client
    /// certificate is given. No other variable and no password file is read.
    ///
    /// # Errors
    /// `InvalidArgument` if it is no such URL, has a query key that is not one of these, or names a file
    /// that cannot be read. The message never repeats the user or password.
    pub fn from_url(url: &str) -> Result<Self> {
        Self::read(url, |name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn read(url: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let parts = Parts::of(url, <Self as linchpin_adapter::Config>::SCHEMES)?;
        let (login, mut place) = place::read(parts.address)?;
        let mut config = Self {
            username: login.username.or_else(|| variable("PGUSER")).map_or_else(systems_user, Ok)?,
            password: login.password.or_else(|| variable("PGPASSWORD")),
            place: Place::default(),
            sslmode: None,
            material: Material::default(),
            application_name: "linchpin".to_owned(),
            common: Common::default(),
            max_connections: 5,
        };
        parts.read_query(KNOWN, |key, value| {
            match key {
                "host" => place.host = place::host(value)?,
                "port" => place.port = place::port(value)?,
                _ => return config.set(key, value),
            }
            Ok(true)
        })?;
        if place.host.is_empty() {
            return Err(invalid("the URL has no host; write postgres://localhost:5432 or ?host=/var/run/postgresql"));
        }
        if place.database.is_empty() {
            place.database.clone_from(&config.username);
        }
        config.place = place;
        config.check()?;
        Ok(config)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<bool> {
        match key {
            "max_connections" => self.max_connections = connections(value)?,
            "application_name" => value.clone_into(&mut self.application_name),
            "sslmode" => self.sslmode = Some(sslmode(value)?),
            // libpq's word for the system's authorities.
            "sslrootcert" if value == "system" => self.sslmode = Some(self.sslmode.unwrap_or(true)),
            "sslrootcert" => return self.material.set("tls_ca", value),
            "sslcert" => return self.material.set("tls_cert", value),
            "sslkey" => return self.material.set("tls_key", value),
            _ => return Ok(self.material.set(key, value)? || self.common.set(key, value)?),
        }
        Ok(true)
    }

    /// Lives in this namespace.
    pub fn namespace(mut self, namespace: Namespace) -> Self {
        self.common.namespace = namespace;
        self
    }

    /// Trusts the certificate authorities in this PEM text besides the system's, and refuses a server
    /// without TLS.
    pub fn root_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.material.trust(pem);
        self
    }

    /// Shows the server this certificate (PEM, with its chain), proven by this key (PEM), and refuses a
    /// server without TLS.
    pub fn client_certificate(mut self, certificate: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.material.show(certificate, key);
        self
    }

    /// Logs in with this password.
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// How the server names these connections, in `pg_stat_activity` and its log; `linchpin` unless told.
    pub fn application_name(mut self, name: impl Into<String>) -> Self {
        self.application_name = name.into();
        self
    }

    /// How long setting up a connection may take; 2 seconds unless told.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.common.connect_timeout = timeout;
        self
    }

    /// How long the server may take to answer; 5 seconds unless told.
    pub fn response_timeout(mut self, timeout: Duration) -> Self {
        self.common.response_timeout = timeout;
        self
    }

    /// How many connections a handle uses at most; 5 unless told, and 3 if it is told fewer. Two do as long as no call
    /// has to wait for another. No server has more than 262,143. Handles of a process that connect alike share what they
    /// open.
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = connections.clamp(FEWEST_CONNECTIONS, MOST_CONNECTIONS);
        self
    }

    /// Whether a connection of the one is as good for the other: all is the same but the namespace, and how many it may be.
    pub(crate) fn connects_like(&self, other: &Self) -> bool {
        let Self { place, username, password, sslmode, material, application_name, common, max_connections: _ } = self;
        let Common { namespace: _, connect_timeout, response_timeout } = common;
        (place, username, password, sslmode, material, application_name)
            == (
                &other.place,
                &other.username,
                &other.password,
                &other.sslmode,
                &other.material,
                &other.application_name,
            )
            && (connect_timeout, response_timeout) == (&other.common.connect_timeout, &other.common.response_timeout)
    }

    /// What sqlx is to be told. These have the password, and `Debug` shows it: never print them.
    ///
    /// # Errors
    /// `InvalidArgument` if what was given contradicts itself, or a certificate or key is none.
    pub(crate) fn options(&self) -> Result<PgConnectOptions> {
        self.check()?;
        let tls = self.encrypted();
        let client = self.material.client();
        // sqlx would find out at each connection, and tell less.
        self.material.check()?;
        if tls && client.is_none() {
            check_environment(|name| std::env::var_os(name).is_some())?;
        }
        // Each field that the environment may have filled is set; an empty password is none, and empty PEM
        // adds no authority to the system's. PGOPTIONS, PGSSLCERT and PGSSLKEY cannot be unset.
        let mut options = PgConnectOptions::new_without_pgpass()
            .host(self.place.server_name())
            .port(self.place.port)
            .username(&self.username)
            .password(self.password.as_deref().unwrap_or_default())
            .database(&self.place.database)
            .application_name(&self.application_name)
            .ssl_mode(if tls { PgSslMode::VerifyFull } else { PgSslMode::Disable })
            .ssl_root_cert_from_pem(self.material.authorities().unwrap_or_default().to_vec())
            .statement_cache_capacity(STATEMENTS_PREPARED)
            // A startup parameter that PgBouncer refuses.
            .extra_float_digits(None)
            // Statements have users' data in their arguments, and are slow for reasons of the layers above.
            .disable_statement_logging();
        if let Some(folder) = self.place.socket() {
            options = options.socket(folder);
        }
        if let Some((certificate, key)) = client {
            options = options.ssl_client_cert_from_pem(certificate).ssl_client_key_from_pem(key);
        }
        Ok(options)
    }

    fn encrypted(&self) -> bool {
        let default = !self.place.is_local() || self.material.is_given();
        self.place.socket().is_none() && self.sslmode.unwrap_or(default)
    }

    fn check(&self) -> Result<()> {
        for (name, timeout) in [("connect", self.common.connect_timeout), ("response", self.common.response_timeout)] {
            if !(Duration::from_millis(1)..=LONGEST_TIMEOUT).contains(&timeout) {
                let range = format!("1 to {} ms", LONGEST_TIMEOUT.as_millis());
                return Err(invalid(format!("the {name} timeout is from {range}, not {timeout:?}")));
            }
        }
        self.material.check_pair()?;
        let demanded = self.sslmode == Some(true) || self.material.is_given();
        if demanded && self.place.socket().is_some() {
            return Err(invalid("a Unix socket has no TLS; leave out sslmode and the keys for certificates"));
        }
        if demanded && self.sslmode == Some(false) {
            return Err(invalid("sslmode=disable contradicts the certificates; give verify-full or leave them out"));
        }
        // In what a client says first a zero byte ends a text: the rest would be read as other settings.
        let texts = [&self.username, &self.place.database, &self.application_name];
        if texts.into_iter().chain(&self.password).any(|text| text.contains('\0')) {
            return Err(invalid("the user, password, database or application_name has a zero byte in it"));
        }
        Ok(())
    }
}

impl linchpin_adapter::Config for PostgresConfig {
    const SCHEMES: &'static [&'static str] = &["postgres", "postgresql"];

    fn from_url(url: &str) -> Result<Self> {
        Self::from_url(url)
    }

    fn with_namespace(self, namespace: Namespace) -> Self {
        self.namespace(namespace)
    }

    fn namespace(&self) -> &Namespace {
        &self.common.namespace
    }

    /// The server's address and the database.
    fn address(&self) -> String {
        self.place.to_string()
    }
}

/// Who runs this, as the operating system calls them.
fn systems_user() -> Result<String> {
    let unknown = "the URL has no user, there is no PGUSER, and the system has no name for whoever runs this";
    whoami::username().map_err(|error| invalid(unknown).with_source(error))
}

fn sslmode(value: &str) -> Result<bool> {
    match value {
        "disable" => Ok(false),
        "require" | "verify-ca" | "verify-full" => Ok(true),
        "allow" | "prefer" => {
            let reason = "whoever can cut the line can make it go without TLS";
            Err(invalid(format!("sslmode={value} is refused: {reason}; give verify-full or disable")))
        }
        _ => Err(invalid("sslmode is disable, require, verify-ca or verify-full")),
    }
}

/// sqlx would take these where no client certificate is given, and say less about it.
fn check_environment(is_set: impl Fn(&str) -> bool) -> Result<()> {
    if is_set("PGSSLCERT") != is_set("PGSSLKEY") {
        let advice = "set both, unset both, or give tls_cert and tls_key";
        return Err(invalid(format!("the environment has one of PGSSLCERT and PGSSLKEY; {advice}")));
    }
    Ok(())
}

fn connections(value: &str) -> Result<usize> {
    let number = value.parse().ok().filter(|number| (FEWEST_CONNECTIONS..=MOST_CONNECTIONS).contains(number));
    let range = format!("{FEWEST_CONNECTIONS} to {MOST_CONNECTIONS}");
    number.ok_or_else(|| invalid(format!("max_connections is a number from {range}, not {value:?}")))
}

impl fmt::Debug for PostgresConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresConfig")
            .field("address", &self.place.to_string())
            .field("tls", &self.encrypted())
            .field("password", &self.password.is_some())
            .field("material", &self.material)
            .field("common", &self.common)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
