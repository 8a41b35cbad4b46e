//! Which backend a URL means.

use linchpin_adapter::{Backend, Config, Opener};
use linchpin_core::{Driver, Error, Namespace, Result};
use parking_lot::RwLock;
use std::sync::Arc;

/// The backends that a feature compiles in: the feature and the schemes of each.
const FEATURES: [(&str, &[&str]); 4] = [
    ("memory", &["memory"]),
    ("redis", &["redis", "rediss"]),
    ("nats", &["nats", "tls"]),
    ("postgres", &["postgres", "postgresql"]),
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
    opener(url)?.open(url, namespace).await
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
    opener(url)?.erase(url, namespaces).await
}

/// Makes the schemes of a backend known to [`connect`](crate::connect), [`open`] and whatever else takes a URL, in this
/// process. To register it again changes nothing.
///
/// ```
/// # use linchpin_memory::Memory as Sqlite;
/// // An adapter of your own, once, before the first URL of it:
/// linchpin::register::<Sqlite>()?;
/// # Ok::<(), linchpin::Error>(())
/// ```
///
/// # Errors
/// `InvalidArgument` if a scheme is another backend's already, one's that is compiled in, say: nothing is registered then.
pub fn register<B: Backend>() -> Result<()> {
    let mut registered = REGISTERED.write();
    let known: Vec<_> = built_in().into_iter().chain(registered.iter().copied()).collect();
    if known.iter().any(Opener::is_of::<B>) {
        return Ok(());
    }
    for scheme in B::Config::SCHEMES {
        if let Some(other) = known.iter().find(|opener| opener.schemes().contains(scheme)) {
            let problem = format!("{scheme}:// is the scheme of the backend {} already", other.name());
            return Err(Error::invalid("register", problem).with_subject(B::NAME));
        }
    }
    registered.push(Opener::of::<B>());
    Ok(())
}

/// The backends that the program has added.
static REGISTERED: RwLock<Vec<Opener>> = RwLock::new(Vec::new());

/// Those that are compiled in.
fn built_in() -> Vec<Opener> {
    vec![
        #[cfg(feature = "memory")]
        Opener::of::<linchpin_memory::Memory>(),
        #[cfg(feature = "redis")]
        Opener::of::<linchpin_redis::Redis>(),
        #[cfg(feature = "nats")]
        Opener::of::<linchpin_nats::Nats>(),
        #[cfg(feature = "postgres")]
        Opener::of::<linchpin_postgres::Postgres>(),
    ]
}

fn known() -> Vec<Opener> {
    built_in().into_iter().chain(REGISTERED.read().iter().copied()).collect()
}

fn opener(url: &str) -> Result<Opener> {
    let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme).to_ascii_lowercase();
    let found = known().into_iter().find(|opener| opener.schemes().contains(&&*scheme));
    found.ok_or_else(|| unknown(&scheme))
}

fn unknown(scheme: &str) -> Error {
    let list = |schemes: Vec<&str>| {
        let schemes: Vec<String> = schemes.iter().map(|scheme| format!("{scheme}://")).collect();
        if schemes.is_empty() { "none".to_owned() } else { schemes.join(", ") }
    };
    let known: Vec<_> = known().iter().flat_map(Opener::schemes).copied().collect();
    let absent: Vec<_> =
        FEATURES.iter().flat_map(|(_, schemes)| *schemes).copied().filter(|s| !known.contains(s)).collect();
    let missing = FEATURES.iter().find(|(_, schemes)| schemes.contains(&scheme) && absent.contains(&scheme));
    let there = format!("compiled in: {}; behind a feature that is not: {}", list(known), list(absent));
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

    #[test]
    fn the_schemes_of_a_feature_are_those_of_its_adapter() {
        for opener in built_in() {
            assert!(FEATURES.iter().any(|(_, schemes)| *schemes == opener.schemes()), "{opener:?}");
        }
    }

    #[cfg(not(feature = "redis"))]
    #[tokio::test]
    async fn a_missing_feature_is_named() {
        let text = open("redis://secret@h", None).await.expect_err("not compiled in").to_string();
        assert!(text.contains("needs the feature `redis`") && !text.contains("secret"), "{text}");
    }
}
