//! The server and the database of a URL, and who logs in to them.

use linchpin_adapter::url::{self, invalid};
use linchpin_core::Result;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

/// What is escaped where a URL is shown.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

/// Who logs in. No `Debug`: the password is secret.
#[derive(Default)]
pub(super) struct Login {
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
}

/// A database of a server. Shown as a URL, without who logs in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// A name, an address without brackets, or the folder of a Unix socket.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) database: String,
}

impl Place {
    /// The folder, if it is a Unix socket.
    pub(super) fn socket(&self) -> Option<&str> {
        self.host.starts_with('/').then_some(&*self.host)
    }

    /// What the server's certificate has to be for.
    pub(super) fn server_name(&self) -> &str {
        if self.socket().is_some() { "localhost" } else { &self.host }
    }

    /// Whether nothing that is sent leaves this machine.
    pub(super) fn is_local(&self) -> bool {
        let loopback = || self.host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
        self.socket().is_some() || self.host.eq_ignore_ascii_case("localhost") || loopback()
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host: Cow<'_, str> = match self.socket() {
            Some(folder) => utf8_percent_encode(folder, ESCAPED).into(),
            None if self.host.contains(':') => format!("[{}]", self.host).into(),
            None => (&*self.host).into(),
        };
        let database = utf8_percent_encode(&self.database, ESCAPED);
        write!(f, "postgres://{host}:{}/{database}", self.port)
    }
}

/// Reads what stands between `://` and the query: host and database may be empty. Nothing of it is repeated in an
/// error: any of it may be a password.
pub(super) fn read(text: &str) -> Result<(Login, Place)> {
    let (authority, path) = text.split_once('/').unwrap_or((text, ""));
    if path.contains('@') {
        let advice = "escape a `/` in a password as %2F, and an `@` in the name of a database as %40";
        return Err(invalid(format!("the URL has an `@` after a `/`; {advice}")));
    }
    let (userinfo, server) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (named, numbered) = split_port(server)?;
    let place = Place {
        host: if named.is_empty() { String::new() } else { host(&decoded(named)?)? },
        port: numbered.map_or(Ok(5432), port)?,
        database: decoded(path)?,
    };
    Ok((login(userinfo)?, place))
}

fn login(userinfo: &str) -> Result<Login> {
    let (user, password) = match userinfo.split_once(':') {
        Some(("", _)) => return Err(invalid("the URL has a password without a user")),
        Some((user, password)) => (user, Some(password)),
        None => (userinfo, None),
    };
    let username = if user.is_empty() { None } else { Some(decoded(user)?) };
    Ok(Login { username, password: password.map(decoded).transpose()? })
}

/// The host, without the brackets of an IPv6 address, and the port.
fn split_port(server: &str) -> Result<(&str, Option<&str>)> {
    let broken = || invalid("the host in the URL is no IPv6 address; write [::1] or [::1]:5432");
    let Some(address) = server.strip_prefix('[') else {
        return Ok(server.split_once(':').map_or((server, None), |(host, port)| (host, Some(port))));
    };
    let (address, after) = address.split_once(']').ok_or_else(broken)?;
    let is_one = address.parse().is_ok_and(|address: IpAddr| address.is_ipv6());
    match after.strip_prefix(':') {
        port if is_one && (port.is_some() || after.is_empty()) => Ok((address, port)),
        _ => Err(broken()),
    }
}

/// Checks a host, which may be the folder of a Unix socket.
pub(super) fn host(text: &str) -> Result<String> {
    if text.starts_with('/') && !text.contains('\0') {
        return Ok(text.to_owned());
    }
    if text.contains(',') {
        let advice = "give one, that of the primary or of what stands before it; escape a `,` in a password as %2C";
        return Err(invalid(format!("the URL has several hosts; {advice}")));
    }
    let address = text.parse::<IpAddr>().is_ok();
    let name = text.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_'));
    if text.is_empty() || !(address || name) {
        let advice = "write it as localhost, 10.0.0.1 or [::1], and a Unix socket's folder with %2F for each `/`";
        return Err(invalid(format!("the host in the URL cannot be read; {advice}")));
    }
    Ok(text.to_owned())
}

pub(super) fn port(text: &str) -> Result<u16> {
    let number = text.parse().ok().filter(|number| *number > 0);
    // Not repeated: the end of a password with a `:` or `@` that was not escaped ends up here.
    number.ok_or_else(|| invalid("the port in the URL is not a number from 1 to 65535"))
}

fn decoded(text: &str) -> Result<String> {
    url::decoded("user, password, host or database", text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use linchpin_adapter::url::Parts;

    fn read(url: &str) -> Result<(Login, Place)> {
        super::read(Parts::of(url, &["postgres", "postgresql"])?.address)
    }

    #[test]
    fn places_are_read_and_shown_without_who_logs_in() {
        for (url, shown) in [
            ("postgres://h", "postgres://h:5432/"),
            ("postgresql://h/", "postgres://h:5432/"),
            ("postgres://u:p@db-1.example.com:7/my_shop", "postgres://db-1.example.com:7/my_shop"),
            ("postgres://u@[::1]:7/a%2Fb", "postgres://[::1]:7/a%2Fb"),
            ("postgres://[fe80::1]", "postgres://[fe80::1]:5432/"),
            ("postgres://10.0.0.1/a%20b%40c", "postgres://10.0.0.1:5432/a%20b%40c"),
            ("postgres://%2Fvar%2Frun%2Fpostgresql:7/x", "postgres://%2Fvar%2Frun%2Fpostgresql:7/x"),
        ] {
            assert_eq!(read(url).expect(url).1.to_string(), shown, "{url}");
        }
    }

    #[test]
    fn what_is_shown_can_be_read_again() {
        for url in ["postgres://[::1]:7/a%2Fb", "postgres://%2Ftmp%2Fa b:7/%C3%A4"] {
            let place = read(url).expect(url).1;
            assert_eq!(read(&place.to_string()).expect(url).1, place);
        }
    }

    #[test]
    fn users_and_passwords_are_decoded() {
        for (url, username, password) in [
            ("postgres://h", None, None),
            ("postgres://@h", None, None),
            ("postgres://u@h", Some("u"), None),
            ("postgres://u:@h", Some("u"), Some("")),
            ("postgres://u%40corp:p%2F%3F%23%25@h", Some("u@corp"), Some("p/?#%")),
            ("postgres://u:p:q@r@h", Some("u"), Some("p:q@r")),
        ] {
            let login = read(url).expect(url).0;
            assert_eq!((login.username.as_deref(), login.password.as_deref()), (username, password), "{url}");
        }
    }

    #[test]
    fn only_loopback_and_sockets_are_local() {
        for (url, local) in [
            ("postgres://localhost", true),
            ("postgres://LOCALHOST", true),
            ("postgres://127.0.0.1", true),
            ("postgres://127.9.9.9", true),
            ("postgres://[::1]", true),
            ("postgres://%2Ftmp", true),
            ("postgres://localhost.example.com", false),
            ("postgres://10.0.0.1", false),
            ("postgres://0.0.0.0", false),
            ("postgres://[fe80::1]", false),
            ("postgres://db", false),
        ] {
            assert_eq!(read(url).expect(url).1.is_local(), local, "{url}");
        }
    }
}
