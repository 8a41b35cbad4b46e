//! The backend that a URL names, as the suite wants it.

use crate::exit::Failure;
use linchpin::{Driver, Namespace, Result};
use linchpin_conformance::{Harness, async_trait};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use url::{Url, form_urlencoded};

/// The backend that a URL names. Its `Debug` and its texts have no password.
pub(super) struct Backend {
    url: String,
    /// What the user may see of the URL.
    shown: String,
    name: String,
    version: String,
    opened: Arc<Mutex<HashSet<Namespace>>>,
}

/// What a run leaves at a backend, though it cleared all: of each namespace how far its revisions went.
pub(super) struct Traces {
    url: String,
    namespaces: Arc<Mutex<HashSet<Namespace>>>,
}

impl Traces {
    pub(super) async fn erase(self) -> Result<()> {
        let namespaces: Vec<_> = lock(&self.namespaces).drain().collect();
        linchpin::erase(&self.url, &namespaces).await
    }
}

fn lock(namespaces: &Mutex<HashSet<Namespace>>) -> MutexGuard<'_, HashSet<Namespace>> {
    namespaces.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Backend {
    /// Asks the backend who it is. Nothing is written, but some make a place for a namespace that is opened: it is erased
    /// with the others.
    pub(super) async fn open(url: &str) -> std::result::Result<Self, Failure> {
        let (shown, url) = (shown(url), shared(url));
        let probe = Namespace::new(format!("conformance-{:016x}", fastrand::u64(..)))?;
        let driver = linchpin::open(&url, Some(probe.clone())).await?;
        let capabilities = driver.capabilities();
        let (name, version) = (capabilities.backend.clone(), capabilities.version.clone());
        driver.close().await?;
        Ok(Self { shown, url, name, version, opened: Arc::new(Mutex::new(HashSet::from([probe]))) })
    }

    /// What there will be to erase.
    pub(super) fn traces(&self) -> Traces {
        Traces { url: self.url.clone(), namespaces: self.opened.clone() }
    }

    /// The command that does this again.
    pub(super) fn command(&self, filter: Option<&str>) -> String {
        let url = quoted(&self.shown);
        let filter = filter.map(|text| format!(" --filter {}", quoted(text))).unwrap_or_default();
        format!("linchpin conformance {url}{filter} --report {}.html", self.name)
    }
}

#[async_trait]
impl Harness for Backend {
    fn name(&self) -> &str {
        &self.name
    }

    fn describe(&self) -> String {
        // Some say their name with the version, as it may be another's: `valkey 8.0`.
        let is_named = self.version.contains(char::is_alphabetic) && self.version.contains(' ');
        let server = if is_named { self.version.clone() } else { format!("{} {}", self.name, self.version) };
        format!("{server} at {}", self.shown)
    }

    async fn start(&self) -> std::result::Result<(), String> {
        Ok(())
    }

    async fn connect(&self, namespace: &Namespace) -> Result<Arc<dyn Driver>> {
        lock(&self.opened).insert(namespace.clone());
        linchpin::open(&self.url, Some(namespace.clone())).await
    }
}

/// The same backend, but of which a second handle sees what the first one wrote: memory without a name is of one handle
/// alone, so it gets a name.
fn shared(url: &str) -> String {
    match Url::parse(url) {
        Ok(mut parsed) if parsed.scheme() == "memory" && parsed.host_str().is_none_or(str::is_empty) => {
            let name = format!("conformance-{:016x}", fastrand::u64(..));
            // What cannot have a host is no such URL; opening it says so.
            let _ = parsed.set_host(Some(&name));
            parsed.into()
        }
        _ => url.to_owned(),
    }
}

/// A URL without what may be secret: its password, and the values of what is behind `?`.
fn shown(url: &str) -> String {
    if let Some((scheme @ ("nats" | "tls"), rest)) = url.split_once("://") {
        return format!("{scheme}://{}", shown_servers(rest));
    }
    let Ok(mut parsed) = Url::parse(url) else { return "a URL that cannot be read".to_owned() };
    if parsed.password().is_some() {
        // Not possible for a URL without a host, which has no password either.
        let _ = parsed.set_password(Some("..."));
    }
    let names: Vec<_> = parsed.query_pairs().map(|(name, _)| format!("{name}=...")).collect();
    parsed.set_query(Some(names.join("&").as_str()).filter(|query| !query.is_empty()));
    parsed.to_string()
}

/// The servers of a URL of NATS, which may be several, and may each be a whole URL: what is before an `@` may be a token.
fn shown_servers(rest: &str) -> String {
    let (servers, query) = rest.split_once('?').unwrap_or((rest, ""));
    let shown = |server: &str| match server.rsplit_once('@') {
        Some((login, host)) => {
            let scheme = login.split_once("://").map(|(scheme, _)| format!("{scheme}://")).unwrap_or_default();
            format!("{scheme}...@{host}")
        }
        None => server.to_owned(),
    };
    let servers: Vec<_> = servers.split(',').map(shown).collect();
    let names = form_urlencoded::parse(query.as_bytes()).map(|(name, _)| format!("{name}=...")).collect::<Vec<_>>();
    let query = if query.is_empty() { String::new() } else { format!("?{}", names.join("&")) };
    servers.join(",") + &query
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+,=".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use linchpin::{Key, Page, Range, Transaction};

    #[test]
    fn no_secret_is_shown() {
        for (url, expected) in [
            ("redis://app:secret@h:7/2", "redis://app:...@h:7/2"),
            ("rediss://:secret@h?tls_ca=/secret.pem&namespace=n", "rediss://:...@h?tls_ca=...&namespace=..."),
            ("redis://h", "redis://h"),
            ("nats://token@h:1,h2:2?replicas=3", "nats://...@h:1,h2:2?replicas=..."),
            ("tls://app:secret@h,tls://app:secret@i", "tls://...@h,tls://...@i"),
            ("nats://app:sec/ret@h", "nats://...@h"),
            ("://secret", "a URL that cannot be read"),
        ] {
            assert_eq!(shown(url), expected);
        }
    }

    #[test]
    fn the_command_is_safe_to_paste() {
        let backend = |url: &str| Backend {
            url: url.to_owned(),
            shown: shown(url),
            name: "redis".to_owned(),
            version: "7".to_owned(),
            opened: Arc::default(),
        };
        let plain = backend("redis://localhost:6379").command(None);
        assert_eq!(plain, "linchpin conformance redis://localhost:6379 --report redis.html");
        let quoted = backend("redis://h?namespace=n").command(Some("it's; x"));
        assert!(quoted.contains(r"'redis://h?namespace=...' --filter 'it'\''s; x' --report"), "{quoted}");
    }

    #[tokio::test]
    async fn two_handles_to_memory_without_a_name_share_it() {
        let backend = Backend::open("memory://").await.expect("opens");
        let (one, other) = (backend.connect(&Namespace::default()).await, backend.connect(&Namespace::default()).await);
        let (one, other) = (one.expect("opens"), other.expect("opens"));
        let key = Key::new("k").expect("a key");
        one.commit(&Transaction::new().put(key, "v", None)).await.expect("is written");
        let seen = other.scan(&Range::all(), &Page::first()).await.expect("is read");
        assert_eq!(seen.entries.len(), 1);
        assert_eq!(backend.command(None), "linchpin conformance memory:// --report memory.html");
    }

    #[tokio::test]
    async fn what_is_no_backend_is_refused() {
        for url in ["memory://?colour=red", "zookeeper://h", "memory:"] {
            assert_eq!(Backend::open(url).await.err().expect(url).code, crate::exit::INVALID, "{url}");
        }
    }
}
