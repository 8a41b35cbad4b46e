//! URLs and builders: what is read, what is refused, and that no secret shows.

use super::*;
use linchpin_core::Error;
use std::error::Error as StdError;

/// As if the environment were empty.
fn from_url(url: &str) -> PostgresConfig {
    PostgresConfig::read(url, |_| None).expect(url)
}

/// All that can be seen of an error, with its sources.
fn everything(error: &Error) -> String {
    let sources = std::iter::successors(error.source(), |source| (*source).source());
    let below: Vec<_> = sources.map(|source| format!("{source} {source:?}")).collect();
    format!("{error} {error:?} {below:?}")
}

fn authority() -> String {
    rcgen::generate_simple_self_signed(["h".to_owned()]).expect("made").cert.pem()
}

fn file(name: &str, content: &[u8]) -> String {
    let path = std::env::temp_dir().join(format!("linchpin-postgres-{}-{name}", std::process::id()));
    std::fs::write(&path, content).expect("written");
    path.to_str().expect("text").to_owned()
}

#[test]
fn urls_are_read() {
    let config = from_url(
        "postgresql://me:p%40ss@db.example.com:7000/shop?namespace=a&response_timeout_ms=7&application_name=till",
    );
    assert_eq!(linchpin_adapter::Config::address(&config), "postgres://db.example.com:7000/shop");
    assert_eq!((config.username.as_str(), config.password.as_deref()), ("me", Some("p@ss")));
    assert_eq!((config.common.namespace.as_str(), config.application_name.as_str()), ("a", "till"));
    assert_eq!(
        (config.common.connect_timeout, config.common.response_timeout),
        (Duration::from_secs(2), Duration::from_millis(7))
    );
}

#[test]
fn without_a_user_it_is_who_runs_this() {
    let id = std::process::Command::new("id").arg("-un").output().expect("it runs");
    let user = String::from_utf8(id.stdout).expect("a name");
    assert_eq!(from_url("postgres://h").username, user.trim());
}

#[test]
fn how_many_connections_there_are_at_most_is_read() {
    assert_eq!(from_url("postgres://u@h?max_connections=3").max_connections, 3);
    for wrong in ["2", "0", "-1", "262144", "18446744073709551615", "many", ""] {
        let error = PostgresConfig::read(&format!("postgres://u@h?max_connections={wrong}"), |_| None);
        let error = error.expect_err(wrong);
        assert!(error.to_string().contains("max_connections") && error.to_string().contains('3'), "{error}");
    }
}

#[test]
fn connections_are_alike_whatever_the_namespace_and_their_number() {
    let config = || from_url("postgres://u:p@h/d");
    let billing = || Namespace::new("billing").expect("valid");
    assert!(config().connects_like(&config().namespace(billing()).max_connections(9)));
    let (longer, other) = (Duration::from_secs(9), |url| from_url(url));
    for unlike in [
        config().connect_timeout(longer),
        config().response_timeout(longer),
        other("postgres://v:p@h/d"),
        other("postgres://u:q@h/d"),
        other("postgres://u@h/d"),
        other("postgres://u:p@g/d"),
        other("postgres://u:p@h:1/d"),
        other("postgres://u:p@h/e"),
        other("postgres://u:p@h/d?sslmode=disable"),
        other("postgres://u:p@h/d?application_name=x"),
    ] {
        assert!(!config().connects_like(&unlike) && !unlike.connects_like(&config()), "{unlike:?}");
    }
}

#[test]
fn what_the_server_has_no_number_for_is_refused() {
    let config = || from_url("postgres://u@h");
    for timeout in [Duration::ZERO, Duration::from_micros(999), Duration::from_secs(2_147_484), Duration::MAX] {
        for config in [config().response_timeout(timeout), config().connect_timeout(timeout)] {
            let error = config.options().expect_err("refused");
            assert!(error.to_string().contains("2147483647 ms"), "{error}");
        }
    }
    assert_eq!(config().max_connections(usize::MAX).max_connections, 262_143);
}

#[test]
fn what_is_read_reaches_the_client_whatever_the_environment() {
    let options = from_url("postgres://me:p%40ss@[::1]:7000/shop").options().expect("valid");
    assert_eq!((options.get_host(), options.get_port()), ("::1", 7000));
    assert_eq!((options.get_username(), options.get_database()), ("me", Some("shop")));
    assert_eq!(options.get_application_name(), Some("linchpin"));
    assert!(options.get_socket().is_none() && matches!(options.get_ssl_mode(), PgSslMode::Disable));
    let text = format!("{options:?}");
    for part in [
        "password: Some(\"p@ss\")",
        "ssl_root_cert: Some(Inline([]))",
        "extra_float_digits: None",
        "statements_level: Off",
        "slow_statements_level: Off",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let options = from_url("postgres://me@h").options().expect("valid");
    assert!(format!("{options:?}").contains("password: Some(\"\")"));
}

#[test]
fn unix_sockets_have_two_spellings() {
    for url in [
        "postgres://me@%2Fvar%2Frun%2Fpg:7/shop",
        "postgres://me@:7/shop?host=/var/run/pg",
        "postgres://me@/shop?host=%2Fvar%2Frun%2Fpg&port=7",
        "postgres://me@elsewhere:8/shop?host=/var/run/pg&port=7",
    ] {
        let config = from_url(url);
        assert_eq!(linchpin_adapter::Config::address(&config), "postgres://%2Fvar%2Frun%2Fpg:7/shop", "{url}");
        let options = config.options().expect("valid");
        assert_eq!(options.get_socket().and_then(|path| path.to_str()), Some("/var/run/pg"));
        assert_eq!((options.get_port(), options.get_database()), (7, Some("shop")));
        assert!(matches!(options.get_ssl_mode(), PgSslMode::Disable));
    }
}

#[test]
fn the_environment_names_a_user_and_a_password_and_no_place() {
    let environment = |name: &str| Some(format!("the {name}"));
    let config = PostgresConfig::read("postgres://h", environment).expect("valid");
    assert_eq!((config.username.as_str(), config.password.as_deref()), ("the PGUSER", Some("the PGPASSWORD")));
    assert_eq!(linchpin_adapter::Config::address(&config), "postgres://h:5432/the%20PGUSER");
    let config = PostgresConfig::read("postgres://me:mine@h", environment).expect("valid");
    assert_eq!((config.username.as_str(), config.password.as_deref()), ("me", Some("mine")));
    assert_eq!(linchpin_adapter::Config::address(&config), "postgres://h:5432/me");
    let config = PostgresConfig::read("postgres://h", |_| None).expect("valid");
    assert!(!config.username.is_empty() && config.password.is_none());
}

#[test]
fn half_a_client_certificate_in_the_environment_is_told() {
    for (set, right) in [(&[][..], true), (&["PGSSLCERT", "PGSSLKEY"], true), (&["PGSSLCERT"], false)] {
        assert_eq!(check_environment(|name| set.contains(&name)).is_ok(), right, "{set:?}");
    }
}

#[test]
fn tls_is_verified_in_full_or_off_and_only_off_near_by() {
    let ca = file("tls-ca", authority().as_bytes());
    for (url, tls) in [
        ("postgres://h".to_owned(), true),
        ("postgres://h?sslmode=require".to_owned(), true),
        ("postgres://h?sslmode=verify-ca".to_owned(), true),
        ("postgres://h?sslrootcert=system".to_owned(), true),
        ("postgres://h?sslmode=disable".to_owned(), false),
        ("postgres://localhost".to_owned(), false),
        ("postgres://[::1]".to_owned(), false),
        ("postgres://localhost?sslmode=verify-full".to_owned(), true),
        ("postgres://localhost?sslrootcert=system".to_owned(), true),
        (format!("postgres://localhost?tls_ca={ca}"), true),
        (format!("postgres://localhost?sslrootcert={ca}"), true),
        ("postgres://%2Ftmp".to_owned(), false),
        ("postgres://%2Ftmp?sslmode=disable".to_owned(), false),
    ] {
        let options = from_url(&url).options().expect(&url);
        let full = matches!(options.get_ssl_mode(), PgSslMode::VerifyFull);
        assert!(full == tls && (full || matches!(options.get_ssl_mode(), PgSslMode::Disable)), "{url}: {options:?}");
    }
    let options = from_url("postgres://localhost").root_certificate(authority()).options().expect("valid");
    assert!(matches!(options.get_ssl_mode(), PgSslMode::VerifyFull));
    std::fs::remove_file(ca).expect("removed");
}

#[test]
fn files_are_read_by_either_name() {
    let made = rcgen::generate_simple_self_signed(["h".to_owned()]).expect("made");
    let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let (cert_file, key_file) = (file("cert", cert.as_bytes()), file("key", key.as_bytes()));
    for names in [["tls_ca", "tls_cert", "tls_key"], ["sslrootcert", "sslcert", "sslkey"]] {
        let [ca, own, secret] = names;
        let config = from_url(&format!("postgres://localhost?{ca}={cert_file}&{own}={cert_file}&{secret}={key_file}"));
        assert_eq!(config.material.authorities(), Some(cert.as_bytes()));
        assert_eq!(config.material.client(), Some((cert.as_bytes(), key.as_bytes())));
        assert!(config.options().is_ok());
    }
    for path in [cert_file, key_file] {
        std::fs::remove_file(path).expect("removed");
    }
}

#[test]
fn a_wrong_url_says_what_is_wrong_and_never_repeats_the_password() {
    for (url, word) in [
        ("canary", "cannot be read"),
        ("u:canary@h", "cannot be read"),
        ("canary://h", "scheme"),
        ("postgres://", "host"),
        ("postgres:///canary", "host"),
        ("postgres://u:canary@", "host"),
        ("postgres://:canary@h", "without a user"),
        ("postgres://u:1/canary@h", "%2F"),
        ("postgres://u:1?canary@h", "%3F"),
        ("postgres://u:1?namespace=canary@h", "%3F"),
        ("postgres://u:canary,1@h,i", "several hosts"),
        ("postgres://u:1,canary@h,i:7", "one"),
        ("postgres://u:canary", "port"),
        ("postgres://u:canary@h?namespace=A", "namespace"),
        ("postgres://u:canary@h?colour=red", "colour"),
        ("postgres://u:canary@h?colour=red", "sslmode"),
        ("postgres://h?password=canary", "unknown"),
        ("postgres://u:canary@h?response_timeout_ms=0", "milliseconds"),
        ("postgres://u:canary@h?connect_timeout_ms=x", "milliseconds"),
        ("postgres://u:canary@h?response_timeout_ms=2147483648", "2147483647"),
        ("postgres://u:canary@h?connect_timeout_ms=2147483648", "2147483647"),
        ("postgres://u:canary@h?sslmode=prefer", "without TLS"),
        ("postgres://u:canary@h?sslmode=allow", "without TLS"),
        ("postgres://u:canary@h?sslmode=canary", "verify-full"),
        ("postgres://u:canary@h?tls_ca=/no/such", "/no/such"),
        ("postgres://u:canary@h?sslkey=canary", "cannot be read"),
        ("postgres://u:canary@h?tls_key=/dev/null", "belong together"),
        ("postgres://u:canary@h?sslcert=/dev/null", "belong together"),
        ("postgres://u:canary@h?tls_ca=/dev/null&sslrootcert=/dev/null", "twice"),
        ("postgres://u:canary@h?sslmode=disable&tls_ca=/dev/null", "contradicts"),
        ("postgres://u:canary@%2Ftmp?sslmode=verify-full", "Unix socket"),
        ("postgres://u:canary@h?host=/tmp&tls_ca=/dev/null", "Unix socket"),
        ("postgres://u:canary@h?host=a b", "host"),
        ("postgres://u:canary@h?port=0", "port"),
        ("postgres://u:canary@h#x", "%23"),
        ("postgres://u:1#canary@h", "%23"),
        ("postgres://u:%ff-canary@h", "UTF-8"),
        ("postgres://u:canary@%ff", "UTF-8"),
        ("postgres://u:canary@h:99999", "port"),
        ("postgres://u:canary@h:0", "port"),
        ("postgres://u:canary@[::1", "IPv6"),
        ("postgres://u:canary@[canary]", "IPv6"),
        ("postgres://u:canary@[::1]x:1", "IPv6"),
        ("postgres://u:canary@a b", "cannot be read"),
        ("postgres://u:canary@%00", "cannot be read"),
        ("postgres://u:canary%00@h", "zero byte"),
        ("postgres://u:canary@h/a%00", "zero byte"),
        ("postgres://u:canary@h?application_name=a%00", "zero byte"),
    ] {
        let error = PostgresConfig::read(url, |_| None).expect_err(url);
        let text = everything(&error);
        assert!(text.contains(word) && !text.contains("canary"), "{url}: {text}");
    }
}

#[test]
fn debug_shows_no_secret_whatever_was_given() {
    let plain = || from_url("postgres://u:canary@localhost");
    for config in [
        plain(),
        from_url("postgres://u@localhost").password("canary"),
        plain().root_certificate("canary").client_certificate("canary", "canary"),
    ] {
        let text = format!("{config:?} {}", linchpin_adapter::Config::address(&config));
        assert!(!text.contains("canary") && text.contains("password: true"), "{text}");
        if let Err(error) = config.options() {
            assert!(!everything(&error).contains("canary"), "{error:?}");
        }
    }
}

#[test]
fn a_builder_with_an_impossible_value_is_refused_when_connecting() {
    let far = || from_url("postgres://h");
    for (config, word) in [
        (far().root_certificate("x"), "tls_ca"),
        (far().client_certificate("x", "x"), "tls_cert"),
        (far().client_certificate(authority(), "x"), "tls_key"),
        (from_url("postgres://h?sslmode=disable").root_certificate(authority()), "contradicts"),
        (from_url("postgres://%2Ftmp").root_certificate(authority()), "Unix socket"),
        (far().application_name("a\0b"), "zero byte"),
    ] {
        let error = config.options().expect_err(word);
        assert!(error.to_string().contains(word), "{error}");
    }
}
