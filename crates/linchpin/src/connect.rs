//! Which backend a URL means.

use linchpin_core::{Driver, Error, Namespace, Result};
use std::sync::Arc;

/// The backends there are: the feature that compiles each in, its schemes, and whether it is.
const BACKENDS: [(&str, &[&str], bool); 4] = [
    ("memory", &["memory"], cfg!(feature = "memory")),
    ("redis", &["redis", "rediss"], cfg!(feature = "redis")),
    ("nats", &["nats", "tls"], cfg!(feature = "nats")),
    ("postgres", &["postgres", "postgresql"], cfg!(feature = "postgres")),
];

/// Opens the bare driver of the backend that `url` names, in `namespace` instead of the URL's if one is given: without
/// the layers that [`connect`](crate::connect) puts around it, so without retries, timeouts, traces and metrics.
///
/// For tools that want to know the backend itself, as the conformance suite does. What an application holds is a
/// [`Coordinator`](crate::Coordinator).
///
/// # Errors
/// As [`connect`](crate::connect).
///
/// # Cancel safety
/// Dropping the future closes what was opened.
///
/// # Examples
/// ```
/// # #[tokio::main]
/// # async fn main() -> linchpin::Result<()> {
/// use linchpin::{Driver, Namespace};
/// let driver = linchpin::open("memory://shop", Some(Namespace::new("orders")?)).await?;
/// assert_eq!(driver.capabilities().backend, "memory");
/// # Ok(())
/// # }
/// ```
pub async fn open(url: &str, namespace: Option<Namespace>) -> Result<Arc<dyn Driver>> {
    let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme).to_ascii_lowercase();
    match scheme.as_str() {
        #[cfg(feature = "memory")]
        "memory" => {
            let config = linchpin_memory::MemoryConfig::from_url(url)?;
            let config = namespace.into_iter().fold(config, linchpin_memory::MemoryConfig::namespace);
            Ok(Arc::new(linchpin_memory::MemoryCoordination::connect(config).await?))
        }
        #[cfg(feature = "redis")]
        "redis" | "rediss" => {
            let config = linchpin_redis::RedisConfig::from_url(url)?;
            let config = namespace.into_iter().fold(config, linchpin_redis::RedisConfig::namespace);
            Ok(Arc::new(linchpin_redis::RedisCoordination::connect(config).await?))
        }
        #[cfg(feature = "nats")]
        "nats" | "tls" => {
            let config = linchpin_nats::NatsConfig::from_url(url)?;
            let config = namespace.into_iter().fold(config, linchpin_nats::NatsConfig::namespace);
            Ok(Arc::new(linchpin_nats::NatsCoordination::connect(config).await?))
        }
        #[cfg(feature = "postgres")]
        "postgres" | "postgresql" => {
            let config = linchpin_postgres::PostgresConfig::from_url(url)?;
            let config = namespace.into_iter().fold(config, linchpin_postgres::PostgresConfig::namespace);
            Ok(Arc::new(linchpin_postgres::PostgresCoordination::connect(config).await?))
        }
        _ => {
            drop(namespace);
            Err(unknown(&scheme))
        }
    }
}

/// Removes namespaces of the backend that `url` names, with all that is in them and with what `clear` keeps of them so
/// that their revisions never go back. For namespaces that nobody will use again, as those of a test.
///
/// In memory a namespace goes with its last handle, so there is nothing to do.
///
/// # Errors
/// As [`connect`](crate::connect).
///
/// # Cancel safety
/// Dropping the future leaves some of it undone; erasing again does the rest.
///
/// # Examples
/// ```no_run
/// # #[tokio::main]
/// # async fn main() -> linchpin::Result<()> {
/// linchpin::erase("redis://localhost", &[linchpin::Namespace::new("test-7f3a")?]).await?;
/// # Ok(())
/// # }
/// ```
pub async fn erase(url: &str, namespaces: &[Namespace]) -> Result<()> {
    let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme).to_ascii_lowercase();
    match scheme.as_str() {
        #[cfg(feature = "memory")]
        "memory" => linchpin_memory::MemoryConfig::from_url(url).map(|_| ()),
        #[cfg(feature = "redis")]
        "redis" | "rediss" => linchpin_redis::erase(linchpin_redis::RedisConfig::from_url(url)?, namespaces).await,
        #[cfg(feature = "nats")]
        "nats" | "tls" => linchpin_nats::erase(linchpin_nats::NatsConfig::from_url(url)?, namespaces).await,
        #[cfg(feature = "postgres")]
        "postgres" | "postgresql" => {
            linchpin_postgres::erase(linchpin_postgres::PostgresConfig::from_url(url)?, namespaces).await
        }
        _ => {
            let _ = namespaces;
            Err(unknown(&scheme))
        }
    }
}

fn unknown(scheme: &str) -> Error {
    let list = |compiled: bool| {
        let schemes = BACKENDS.iter().filter(|backend| backend.2 == compiled).flat_map(|backend| backend.1);
        let schemes: Vec<String> = schemes.map(|scheme| format!("{scheme}://")).collect();
        if schemes.is_empty() { "none".to_owned() } else { schemes.join(", ") }
    };
    let there = format!("compiled in: {}; behind a feature that is not: {}", list(true), list(false));
    let missing = BACKENDS.iter().find(|backend| !backend.2 && backend.1.contains(&scheme));
    let problem = match missing {
        Some((feature, ..)) => format!(
            "{scheme}:// needs the feature `{feature}`, which is not compiled in; \
             add it in Cargo.toml: linchpin = {{ features = [\"{feature}\"] }}. {there}"
        ),
        None if scheme.is_empty() => {
            format!("the URL does not start with a scheme and `://`, as memory://name and redis://host do. {there}")
        }
        None if scheme.starts_with("valkey") => format!("Valkey is reached by redis:// and rediss://. {there}"),
        None => format!("{scheme:?} is the scheme of no backend. {there}"),
    };
    Error::invalid("connect", problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_unknown_scheme_names_what_is_there() {
        for (url, expected) in [
            ("zookeeper://h", "\"zookeeper\" is the scheme of no backend"),
            ("localhost:6379", "does not start with a scheme"),
            ("valkey://h", "by redis://"),
        ] {
            let text = open(url, None).await.expect_err(url).to_string();
            assert!(text.contains(expected), "{text}");
            assert_eq!(text.contains("memory://"), cfg!(feature = "memory"), "{text}");
        }
    }

    #[cfg(not(feature = "redis"))]
    #[tokio::test]
    async fn a_missing_feature_is_named() {
        let text = open("redis://secret@h", None).await.expect_err("not compiled in").to_string();
        assert!(text.contains("needs the feature `redis`") && !text.contains("secret"), "{text}");
    }
}
