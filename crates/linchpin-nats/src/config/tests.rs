//! URLs and builders: what is read, what is refused, and that no secret shows.

use super::*;
use linchpin_core::Error;
use std::error::Error as StdError;

const SEED: &str = "SUANQDPB2RUOE4ETUA26CNX7FUKE5ZZKFCQIIW63OX225F2CO7UEXTM7ZY";

fn from_url(url: &str) -> NatsConfig {
    NatsConfig::from_url(url).expect(url)
}

/// All that can be seen of an error, with its sources.
fn everything(error: &Error) -> String {
    let sources = std::iter::successors(error.source(), |source| (*source).source());
    let below: Vec<_> = sources.map(|source| format!("{source} {source:?}")).collect();
    format!("{error} {error:?} {below:?}")
}

/// So that no test depends on the system's authorities.
fn authority() -> String {
    rcgen::generate_simple_self_signed(["h".to_owned()]).expect("made").cert.pem()
}

fn file(name: &str, content: &[u8]) -> String {
    let path = std::env::temp_dir().join(format!("linchpin-nats-{}-{name}", std::process::id()));
    std::fs::write(&path, content).expect("written");
    path.to_str().expect("text").to_owned()
}

#[test]
fn urls_are_read() {
    let config = from_url("tls://me:p%40ss@[::1]:7000?namespace=a&replicas=3&response_timeout_ms=7");
    assert_eq!(
        (linchpin_adapter::Config::address(&config).as_str(), config.tls_required()),
        ("tls://[::1]:7000", true)
    );
    assert!(config.login == Login::User { name: "me".to_owned(), password: "p@ss".to_owned() });
    assert_eq!((config.common.namespace.as_str(), config.replicas), ("a", 3));
    assert_eq!(
        (config.common.connect_timeout, config.common.response_timeout),
        (Duration::from_secs(2), Duration::from_millis(7))
    );
    assert!(config.root_certificate(authority()).options().is_ok());
}

#[test]
fn a_url_that_speaks_of_tls_refuses_servers_without() {
    let ca = file("ca", b"");
    for (url, required) in [
        ("nats://h".to_owned(), false),
        ("nats://h?tls_first=false".to_owned(), false),
        ("tls://h".to_owned(), true),
        ("nats://h?tls_first=true".to_owned(), true),
        (format!("nats://h?tls_ca={ca}"), true),
        (format!("nats://h?tls_cert={ca}&tls_key={ca}"), true),
    ] {
        assert_eq!(from_url(&url).tls_required(), required, "{url}");
    }
    assert!(from_url("nats://h").root_certificate("").tls_required());
    assert!(from_url("nats://h").client_certificate("", "").tls_required());
    std::fs::remove_file(ca).expect("removed");
}

#[test]
fn what_is_required_reaches_the_client() {
    for (config, required) in [
        (from_url("nats://h"), false),
        (from_url("nats://h").root_certificate(authority()), true),
        (from_url("tls://h").root_certificate(authority()), true),
        (from_url("nats://h").root_certificate(authority()).tls_first(true), true),
    ] {
        let options = format!("{:?}", config.options().expect("valid"));
        assert!(options.contains(&format!("\"tls_required\": {required}")), "{options}");
    }
}

#[test]
fn files_are_read_and_a_seed_or_credentials_checked() {
    let (nkey, other) = (file("nkey", format!("{SEED}\n").as_bytes()), file("other", b"SU-canary"));
    let config = from_url(&format!("nats://h?nkey={nkey}"));
    assert!(config.login == Login::NkeySeed(SEED.to_owned()) && config.options().is_ok());
    for (key, word) in [("nkey", "nkey"), ("credentials", ".creds")] {
        let error = from_url(&format!("nats://h?{key}={other}")).options().expect_err(key);
        let text = everything(&error);
        assert!(text.contains(word) && !text.contains("canary"), "{text}");
    }
    for path in [nkey, other] {
        std::fs::remove_file(path).expect("removed");
    }
}

#[test]
fn a_wrong_url_says_what_is_wrong_and_never_repeats_the_password() {
    for (url, word) in [
        ("canary", "cannot be read"),
        ("u:canary@h", "cannot be read"),
        ("canary://h", "scheme"),
        ("nats://", "host"),
        ("nats://u:canary@", "host"),
        ("nats://:canary@h", "without a user"),
        ("nats://u:1/canary@h", "%2F"),
        ("nats://canary/1@h", "%2F"),
        ("nats://u:1?canary@h", "%3F"),
        ("nats://u:1?a&canary@h", "%3F"),
        ("nats://u:1?namespace=canary@h", "%3F"),
        ("nats://u:1,canary@h", "%2C"),
        ("nats://u:canary,1@h", "port"),
        ("nats://u:canary", "port"),
        ("nats://u:canary@h?namespace=A", "namespace"),
        ("nats://u:canary@h?colour=red", "colour"),
        ("nats://u:canary@h?colour=red", "tls_first"),
        ("nats://h?password=canary", "unknown"),
        ("nats://u:canary@h?response_timeout_ms=0", "milliseconds"),
        ("nats://u:canary@h?replicas=2", "1, 3 or 5"),
        ("nats://u:canary@h?replicas=x", "1, 3 or 5"),
        ("nats://u:canary@h?tls_first=yes", "true or false"),
        ("nats://u:canary@h?tls_ca=/no/such", "/no/such"),
        ("nats://u:canary@h?tls_key=/dev/null", "belong together"),
        ("nats://u:canary@h?tls_cert=/dev/null", "belong together"),
        ("nats://h?nkey=SUcanary", "cannot be read"),
        ("nats://h?credentials=canary", "cannot be read"),
        ("nats://u:canary@h?nkey=/dev/null", "more than one"),
        ("nats://h?credentials=/dev/null&nkey=/dev/null", "more than one"),
        ("nats://u:canary@h#x", "%23"),
        ("nats://u:1#canary@h", "%23"),
        ("nats://u:%ff-canary@h", "UTF-8"),
        ("nats://u:canary@h:99999", "port"),
        ("nats://u:canary@h:0", "port"),
        ("nats://u:canary@[::1", "IPv6"),
        ("nats://u:canary@a b", "cannot be read"),
        ("nats://u:canary@a,", "host"),
        ("nats://u:canary@a,tls://u:canary@b", "scheme"),
        ("nats://a,nats://u:canary@b", "differ"),
        ("nats://u:canary@a,nats://u:canary2@b", "differ"),
    ] {
        let error = NatsConfig::from_url(url).expect_err(url);
        let text = everything(&error);
        assert!(text.contains(word) && !text.contains("canary"), "{url}: {text}");
    }
}

#[test]
fn debug_shows_no_secret_whatever_was_given() {
    let plain = || from_url("nats://u:canary@a,b");
    for config in [
        plain(),
        from_url("nats://canary@h"),
        plain().token("canary"),
        plain().user_and_password("canary", "canary"),
        plain().nkey_seed("canary"),
        plain().credentials("canary"),
        plain().root_certificate("canary").client_certificate("canary", "canary"),
    ] {
        let text = format!("{config:?} {:?} {}", config.servers(), linchpin_adapter::Config::address(&config));
        assert!(!text.contains("canary") && text.contains("credentials: true"), "{text}");
        match config.options() {
            Ok(options) => assert!(!format!("{options:?}").contains("canary")),
            Err(error) => assert!(!everything(&error).contains("canary"), "{error:?}"),
        }
    }
}

#[test]
fn a_builder_with_an_impossible_value_is_refused_when_connecting() {
    for (config, word) in [
        (from_url("nats://h").replicas(2), "1, 3 or 5"),
        (from_url("nats://h").nkey_seed("x"), "seed"),
        (from_url("nats://h").credentials("x"), ".creds"),
        (from_url("nats://h").root_certificate("x"), "tls_ca"),
        (from_url("nats://h").root_certificate(authority()).client_certificate("x", "x"), "tls_cert"),
    ] {
        let error = config.options().expect_err(word);
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[test]
fn reconnecting_starts_quickly_and_slows_down_to_a_quarter_of_a_second() {
    for (attempt, longest) in [(0, 0), (1, 0), (2, 20), (3, 40), (4, 80), (7, 250), (usize::MAX, 250)] {
        for _ in 0..100 {
            let delay = reconnect_delay(attempt).as_millis();
            assert!((longest / 2..=longest).contains(&delay), "{attempt}: {delay}");
        }
    }
}
