//! Which namespace of which name to open.

use linchpin_adapter::url::{Parts, decoded, invalid};
use linchpin_core::{Namespace, Result};

/// Which namespace to open, and whether other handles of this process share it.
///
/// ```
/// use linchpin_core::Namespace;
/// use linchpin_memory::MemoryConfig;
/// let config = MemoryConfig::from_url("memory://tests?namespace=orders")?;
/// assert_eq!(config, MemoryConfig::new().name("tests").namespace(Namespace::new("orders")?));
/// # Ok::<(), linchpin_core::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryConfig {
    pub(crate) name: Option<String>,
    pub(crate) namespace: Namespace,
}

impl MemoryConfig {
    /// A private namespace: no other handle can open it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads `memory://[name][?namespace=...]`. Without a name it is private.
    ///
    /// # Errors
    /// `InvalidArgument` if it is no such URL, has a user, password, port, path or fragment, or a query key
    /// that is not `namespace`. The message never repeats the user or password.
    pub fn from_url(url: &str) -> Result<Self> {
        let parts = Parts::of(url, <Self as linchpin_adapter::Config>::SCHEMES)?;
        let name = parts.address.strip_suffix('/').unwrap_or(parts.address);
        let pointless = [("a user or password", '@'), ("a port", ':'), ("a path", '/')];
        if let Some((what, _)) = pointless.iter().find(|(_, sign)| name.contains(*sign)) {
            return Err(invalid(format!("the URL has {what}; write memory://name?namespace=orders")));
        }
        let mut config = Self::new().name(decoded("name", name)?);
        parts.read_query("namespace", |key, value| {
            let is_known = key == "namespace";
            if is_known {
                config.namespace = Namespace::new(value)?;
            }
            Ok(is_known)
        })?;
        Ok(config)
    }

    /// Shares the namespace with handles of this process that are opened by the same name. The empty name
    /// is none.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into()).filter(|name| !name.is_empty());
        self
    }

    /// Lives in this namespace; `default` unless told.
    pub fn namespace(mut self, namespace: Namespace) -> Self {
        self.namespace = namespace;
        self
    }
}

impl linchpin_adapter::Config for MemoryConfig {
    const SCHEMES: &'static [&'static str] = &["memory"];

    fn from_url(url: &str) -> Result<Self> {
        Self::from_url(url)
    }

    fn with_namespace(self, namespace: Namespace) -> Self {
        self.namespace(namespace)
    }

    fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    fn address(&self) -> String {
        format!("memory://{}", self.name.as_deref().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read() {
        for (url, name, namespace) in [
            ("memory://", None, "default"),
            ("memory://?namespace=a", None, "a"),
            ("memory://Tests", Some("Tests"), "default"),
            ("memory://tests/?namespace=a.b", Some("tests"), "a.b"),
        ] {
            let config = MemoryConfig::from_url(url).expect(url);
            assert_eq!((config.name.as_deref(), config.namespace.as_str()), (name, namespace), "{url}");
        }
    }

    #[test]
    fn a_wrong_url_says_what_is_wrong_and_never_repeats_the_password() {
        for (url, word) in [
            ("nonsense", "cannot be read"),
            ("redis://h", "scheme"),
            ("memory:name", "cannot be read"),
            ("memory://name/path", "path"),
            ("memory:///path", "path"),
            ("memory://name:7", "port"),
            ("memory://canary@name", "user"),
            ("memory://user:canary@name", "user"),
            ("memory://:canary@name", "user"),
            ("memory://name#x", "fragment"),
            ("memory://name?colour=red", "colour"),
            ("memory://name?namespace=A", "namespace"),
            ("memory://user:canary@name:99999", "user"),
        ] {
            let error = MemoryConfig::from_url(url).expect_err(url);
            let text = format!("{error} {error:?}");
            assert!(text.contains(word) && !text.contains("canary"), "{url}: {text}");
        }
    }
}
