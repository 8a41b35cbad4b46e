//! A URL of linchpin's as sqlx is told it.

use crate::bench::problem::{Problem, Result};
use ::url::Url;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use std::net::IpAddr;

/// What is in the query for linchpin alone.
const LINCHPINS: [&str; 3] = ["namespace", "connect_timeout_ms", "response_timeout_ms"];
/// What sqlx calls otherwise.
const RENAMED: [(&str, &str); 3] = [("tls_ca", "sslrootcert"), ("tls_cert", "sslcert"), ("tls_key", "sslkey")];

/// How the adapter connects too: verified, or on the same machine in plain text.
pub(super) fn options(url: &str) -> Result<PgConnectOptions> {
    let refused = || Problem::invalid("the raw client does not accept this URL");
    let mut url = Url::parse(url).map_err(|_| refused())?;
    let query: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    url.set_query(None);
    for (key, value) in query.iter().filter(|(key, _)| !LINCHPINS.contains(&key.as_str()) && key != "sslmode") {
        let renamed = RENAMED.iter().find(|(linchpins, _)| linchpins == key).map(|(_, name)| *name);
        url.query_pairs_mut().append_pair(renamed.unwrap_or(key), value);
    }
    let options: PgConnectOptions = url.as_str().parse().map_err(|_| refused())?;
    let asked = query.iter().find(|(key, _)| key == "sslmode").map(|(_, mode)| mode.as_str());
    let mode = match asked {
        Some("disable") => PgSslMode::Disable,
        None if is_local(&options) => PgSslMode::Disable,
        _ => PgSslMode::VerifyFull,
    };
    Ok(options.ssl_mode(mode).application_name("linchpin bench"))
}

fn is_local(options: &PgConnectOptions) -> bool {
    let host = options.get_host();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    options.get_socket().is_some() || host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linchpins_own_settings_are_not_passed_on_and_the_others_are_renamed() {
        let url = "postgres://me:secret@db:7000/shop?namespace=a&connect_timeout_ms=9&tls_ca=ca.pem&sslmode=require";
        let options = options(url).expect("options");
        assert_eq!((options.get_host(), options.get_port(), options.get_database()), ("db", 7000, Some("shop")));
        assert_eq!(options.get_application_name(), Some("linchpin bench"));
        assert!(matches!(options.get_ssl_mode(), PgSslMode::VerifyFull));
    }

    #[test]
    fn a_connection_is_verified_unless_it_stays_on_the_machine_or_is_to_be_plain() {
        let is_plain = |url| matches!(options(url).expect("options").get_ssl_mode(), PgSslMode::Disable);
        for url in ["postgres://localhost/a", "postgresql://127.0.0.1", "postgres://[::1]/a", "postgres:///a?host=/tmp"]
        {
            assert!(is_plain(url), "{url}");
        }
        assert!(is_plain("postgres://db/a?sslmode=disable") && !is_plain("postgres://localhost/a?sslmode=verify-full"));
        assert!(!is_plain("postgres://db/a") && !is_plain("postgres://127.0.0.1.example.com/a"));
    }
}
