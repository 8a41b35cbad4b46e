//! The servers of a URL, and how to log in to them.

use ::url::Url;
use async_nats::{ConnectOptions, ServerAddr};
use linchpin_adapter::url::{self, invalid};
use linchpin_core::Result;
use std::fmt;

/// How to log in. No `Debug`: all of it is secret.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Login {
    None,
    Token(String),
    User {
        name: String,
        password: String,
    },
    NkeySeed(String),
    /// The text of a `.creds` file.
    Credentials(String),
}

impl Login {
    /// Tells async-nats to log in like this.
    pub(crate) fn apply(&self, options: ConnectOptions) -> Result<ConnectOptions> {
        Ok(match self {
            Self::None => options,
            Self::Token(token) => options.token(token.clone()),
            Self::User { name, password } => options.user_and_password(name.clone(), password.clone()),
            Self::NkeySeed(seed) => {
                // async-nats would find out only when the server asks. The error is not kept as a source:
                // it could speak of what stands in the seed.
                nkeys::KeyPair::from_seed(seed)
                    .map_err(|_| invalid("the nkey is not the seed of an nkey; a user's starts with SU"))?;
                options.nkey(seed.clone())
            }
            Self::Credentials(text) => options
                .credentials(text)
                .map_err(|_| invalid("the credentials are not the text of a .creds file: a user JWT and a seed"))?,
        })
    }
}

/// Reads what stands between the first `://` and the query. Nothing of it is repeated in an error: any of it may be a
/// password.
pub(crate) fn read_servers(scheme: &str, text: &str) -> Result<(Vec<ServerAddr>, Login)> {
    let (mut servers, mut login) = (Vec::new(), Login::None);
    for (index, piece) in text.split(',').enumerate() {
        let (own, rest) = piece.split_once("://").unwrap_or((scheme, piece));
        if own != scheme {
            return Err(invalid("the servers in the URL differ in their scheme; write nats:// or tls:// for all"));
        }
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains('/') {
            return Err(invalid("the URL has a path; escape a `/` in a password as %2F"));
        }
        let (userinfo, host) = rest.rsplit_once('@').unwrap_or(("", rest));
        let given = read_login(userinfo)?;
        if index == 0 {
            login = given;
        } else if given != Login::None && given != login {
            let advice = "give them with the first server; escape a `,` in a password as %2C";
            return Err(invalid(format!("the servers in the URL differ in their user, password or token; {advice}")));
        }
        servers.push(read_server(scheme, host)?);
    }
    Ok((servers, login))
}

fn read_login(userinfo: &str) -> Result<Login> {
    Ok(match userinfo.split_once(':') {
        None if userinfo.is_empty() => Login::None,
        None => Login::Token(decoded(userinfo)?),
        Some(("", _)) => return Err(invalid("the URL has a password without a user; write a token without the `:`")),
        Some((user, password)) => Login::User { name: decoded(user)?, password: decoded(password)? },
    })
}

fn read_server(scheme: &str, host: &str) -> Result<ServerAddr> {
    // A password with a `,` or `@` that was not escaped ends up here too.
    let unread = |problem: &dyn fmt::Display| {
        let advice = "write hosts as localhost, 10.0.0.1:4222 or [::1]:4222";
        invalid(format!("a server in the URL cannot be read: {problem}; {advice}"))
    };
    let mut url = Url::parse(&format!("{scheme}://{host}")).map_err(|error| unread(&error))?;
    if url.host_str().is_none_or(str::is_empty) {
        return Err(unread(&"it has no host"));
    }
    let port = url.port().unwrap_or(4222);
    if port == 0 || url.set_port(Some(port)).is_err() {
        return Err(unread(&"it has no such port"));
    }
    ServerAddr::from_url(url).map_err(|error| unread(&error))
}

fn decoded(text: &str) -> Result<String> {
    url::decoded("user, password or token", text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_servers(url: &str) -> Result<(Vec<ServerAddr>, Login)> {
        let (scheme, address) = url.split_once("://").expect("a URL");
        super::read_servers(scheme, address)
    }

    fn addresses(text: &str) -> Vec<String> {
        let (servers, _) = read_servers(text).expect(text);
        servers.iter().map(|server| server.as_url_str().to_owned()).collect()
    }

    #[test]
    fn servers_are_hosts_or_urls_and_keep_no_secret() {
        let three = ["nats://a:4222", "nats://b:4222", "nats://[::1]:7"];
        for text in [
            "nats://a,b,[::1]:7",
            "nats://a:4222,b:4222,[::1]:7/",
            "nats://u:p@a,b,[::1]:7",
            "nats://t@a,nats://t@b,nats://t@[::1]:7",
            "nats://a/,nats://b/,nats://[::1]:7/",
        ] {
            assert_eq!(addresses(text), three, "{text}");
        }
        assert_eq!(addresses("tls://10.0.0.1,tls://b"), ["tls://10.0.0.1:4222", "tls://b:4222"]);
    }

    #[test]
    fn a_user_without_a_password_is_a_token() {
        let user = |name: &str, password: &str| Login::User { name: name.to_owned(), password: password.to_owned() };
        for (text, expected) in [
            ("nats://h", Login::None),
            ("nats://@h", Login::None),
            ("nats://t%3Ak@h", Login::Token("t:k".to_owned())),
            ("nats://u:@h", user("u", "")),
            ("nats://u:p:q@r@h", user("u", "p:q@r")),
            ("nats://u:p%2C%2F%3F%23@a,b", user("u", "p,/?#")),
        ] {
            assert!(read_servers(text).expect(text).1 == expected, "{text}");
        }
    }
}
