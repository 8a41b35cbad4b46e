//! Names, validated when they are made: what a user may call a namespace, key, channel, stream, group or node. Those of up to
//! 23 bytes, with the prefix of their area, are kept without an allocation.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use std::borrow::Borrow;
use std::fmt;

/// The longest key, channel or stream name a user may choose, in bytes of UTF-8.
pub const MAX_NAME: usize = 512;

/// The longest name a driver may be handed: a user's name and what layers and recipes put in front of it.
/// A nested namespace takes its own part of that room.
pub const MAX_STORED_NAME: usize = MAX_NAME + 256;

/// The longest group, member and node name, in bytes of UTF-8.
pub const MAX_SHORT_NAME: usize = 128;

fn check(what: &'static str, name: &str, max: usize) -> Result<()> {
    let problem = if name.is_empty() {
        "it is empty".to_owned()
    } else if name.len() > max {
        format!("it has {} bytes, the limit is {max}", name.len())
    } else if name.contains('\0') {
        "it contains a NUL character".to_owned()
    } else {
        return Ok(());
    };
    let problem = format!("{problem}; it takes 1 to {max} bytes of UTF-8 without NUL");
    Err(Error::invalid(what, problem).with_subject(name))
}

macro_rules! name {
    ($(#[$doc:meta])* $Name:ident, $what:literal, $max:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $Name(SmolStr);

        impl $Name {
            /// Checks and takes the name.
            ///
            /// # Errors
            /// `InvalidArgument` if it is empty, too long or contains NUL.
            pub fn new(name: impl AsRef<str>) -> Result<Self> {
                check($what, name.as_ref(), $max)?;
                Ok(Self(name.as_ref().into()))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The same name behind `prefix`, for layers and recipes: it may be longer than a user's.
            ///
            /// # Errors
            /// `InvalidArgument` if the whole is longer than [`MAX_STORED_NAME`] or the prefix contains NUL.
            pub fn prefixed(&self, prefix: &str) -> Result<Self> {
                let whole = [prefix, &self.0].concat();
                check($what, &whole, MAX_STORED_NAME)?;
                Ok(Self(whole.into()))
            }

            /// A user's name behind the prefix of an area, which is short.
            #[allow(dead_code, reason = "not every kind of name lies in an area")]
            pub(crate) fn within(prefix: &'static str, name: &str) -> Result<Self> {
                check($what, name, $max)?;
                // On the stack: most names are kept without an allocation, and the others with one.
                let (mut whole, length) = ([0; MAX_STORED_NAME], prefix.len() + name.len());
                whole[..prefix.len()].copy_from_slice(prefix.as_bytes());
                whole[prefix.len()..length].copy_from_slice(name.as_bytes());
                match str::from_utf8(&whole[..length]) {
                    Ok(whole) => Ok(Self(whole.into())),
                    Err(_) => unreachable!("two texts are a text"),
                }
            }

            /// The name without `prefix`, if it starts with it and something is left.
            pub fn without_prefix(&self, prefix: &str) -> Option<Self> {
                match self.0.strip_prefix(prefix) {
                    Some(rest) if !rest.is_empty() => Some(Self(rest.into())),
                    _ => None,
                }
            }

            /// A name as a driver stored it, layers' prefixes included.
            ///
            /// # Errors
            /// `InvalidArgument` if it is empty, longer than [`MAX_STORED_NAME`] or contains NUL.
            pub fn stored(name: impl AsRef<str>) -> Result<Self> {
                check($what, name.as_ref(), MAX_STORED_NAME)?;
                Ok(Self(name.as_ref().into()))
            }
        }

        impl fmt::Display for $Name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $Name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl AsRef<str> for $Name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $Name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl From<$Name> for String {
            fn from(name: $Name) -> Self {
                name.0.into()
            }
        }

        impl TryFrom<String> for $Name {
            type Error = Error;
            fn try_from(name: String) -> Result<Self> {
                Self::stored(name)
            }
        }
    };
}

name!(
    /// A key of the versioned state: UTF-8 of 1 to 512 bytes without NUL.
    ///
    /// ```
    /// use linchpin_core::Key;
    /// assert_eq!(Key::new("user:7")?.as_str(), "user:7");
    /// assert!(Key::new("").is_err() && Key::new("x".repeat(513)).is_err());
    /// # Ok::<(), linchpin_core::Error>(())
    /// ```
    Key, "key", MAX_NAME
);
name!(
    /// A channel that messages are published to: UTF-8 of 1 to 512 bytes without NUL.
    ///
    /// ```
    /// assert!(linchpin_core::Channel::new("cache:users").is_ok());
    /// ```
    Channel, "channel", MAX_NAME
);
name!(
    /// A consumer group of a stream: UTF-8 of 1 to 128 bytes without NUL.
    ///
    /// ```
    /// assert!(linchpin_core::GroupName::new("billing").is_ok());
    /// ```
    GroupName, "group", MAX_SHORT_NAME
);
name!(
    /// A member of a consumer group: UTF-8 of 1 to 128 bytes without NUL.
    ///
    /// ```
    /// assert!(linchpin_core::MemberName::new("worker-1").is_ok());
    /// ```
    MemberName, "member", MAX_SHORT_NAME
);
name!(
    /// A node of the cluster: UTF-8 of 1 to 128 bytes without NUL.
    ///
    /// ```
    /// assert!(linchpin_core::NodeId::new("node-1").is_ok());
    /// ```
    NodeId, "node", MAX_SHORT_NAME
);

impl NodeId {
    /// A node id nobody else has: the process id and 64 random bits.
    pub fn random() -> Self {
        Self(format!("node-{}-{:016x}", std::process::id(), fastrand::u64(..)).into())
    }
}

/// The part of a backend that a handle lives in; nothing reaches out of it.
///
/// Lower-case letters, digits, `.`, `_` and `-`, 1 to 63 of them, starting with a letter or digit.
///
/// ```
/// use linchpin_core::Namespace;
/// assert!(Namespace::new("orders-eu.v2").is_ok());
/// assert!(Namespace::new("Orders").is_err());
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Namespace(SmolStr);

impl Namespace {
    /// Checks and takes the name.
    ///
    /// # Errors
    /// `InvalidArgument` with the character or length that is wrong.
    pub fn new(name: impl AsRef<str>) -> Result<Self> {
        let name = name.as_ref();
        check("namespace", name, 63)?;
        let head = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let tail = |c: char| head(c) || matches!(c, '.' | '_' | '-');
        let wrong = name.chars().enumerate().find(|&(i, c)| !(if i == 0 { head(c) } else { tail(c) }));
        match wrong {
            None => Ok(Self(name.into())),
            Some((at, c)) => Err(Error::invalid(
                "namespace",
                format!("character {c:?} at {at} is not allowed: use a-z and 0-9, then also '.', '_' and '-'"),
            )
            .with_subject(name)),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Namespace {
    /// `default`.
    fn default() -> Self {
        Self("default".into())
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// The name of a durable stream, or of the dead letters of one of its groups.
///
/// ```
/// use linchpin_core::{GroupName, StreamName};
/// let orders = StreamName::new("orders")?;
/// let dead = orders.dead_letters(&GroupName::new("billing")?);
/// assert_eq!(dead.as_str(), "orders");
/// assert_ne!(dead, orders);
/// assert_eq!(dead.living(), orders);
/// # Ok::<(), linchpin_core::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StreamName {
    name: Key,
    dead_letters_of: Option<GroupName>,
}

impl StreamName {
    /// Checks and takes the name: UTF-8 of 1 to 512 bytes without NUL.
    ///
    /// # Errors
    /// `InvalidArgument` if it is empty, too long or contains NUL.
    pub fn new(name: impl AsRef<str>) -> Result<Self> {
        check("stream", name.as_ref(), MAX_NAME)?;
        Ok(Self { name: Key(name.as_ref().into()), dead_letters_of: None })
    }

    /// The stream that holds what `group` of this stream rejected or failed too often. It is read,
    /// claimed and trimmed like any other.
    pub fn dead_letters(&self, group: &GroupName) -> Self {
        Self { name: self.name.clone(), dead_letters_of: Some(group.clone()) }
    }

    /// The stream's own name.
    pub fn as_str(&self) -> &str {
        self.name.as_str()
    }

    /// The group whose dead letters this names, if it names dead letters.
    pub fn dead_letters_of(&self) -> Option<&GroupName> {
        self.dead_letters_of.as_ref()
    }

    /// The stream whose dead letters this names, if it names dead letters; else itself.
    pub fn living(&self) -> Self {
        Self { name: self.name.clone(), dead_letters_of: None }
    }

    /// The same name behind `prefix`, for layers.
    ///
    /// # Errors
    /// `InvalidArgument` if the whole is longer than [`MAX_STORED_NAME`].
    pub fn prefixed(&self, prefix: &str) -> Result<Self> {
        Ok(Self { name: self.name.prefixed(prefix)?, dead_letters_of: self.dead_letters_of.clone() })
    }

    /// One text per stream for adapters to store it under: no two streams share it. It holds a NUL where
    /// it names dead letters, which no user's name can.
    pub fn storage_name(&self) -> String {
        match &self.dead_letters_of {
            None => self.name.as_str().to_owned(),
            Some(group) => format!("{}\0{group}", self.name),
        }
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.dead_letters_of {
            None => fmt::Display::fmt(&self.name, f),
            Some(group) => write!(f, "{} (dead letters of {group})", self.name),
        }
    }
}

impl fmt::Debug for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_keys_like_any_other() {
        for name in ["{}", "*?[]\\", "a\nb", "🦀", " ", "a\u{1}", "../x", &"x".repeat(512)] {
            assert_eq!(Key::new(name).map(|key| key.as_str().to_owned()).ok().as_deref(), Some(name));
        }
        for name in ["", "a\0b", &"x".repeat(513)] {
            assert!(Key::new(name).is_err() && Channel::new(name).is_err() && StreamName::new(name).is_err());
        }
    }

    #[test]
    fn namespaces_have_a_small_alphabet() {
        for good in ["a", "0", "a.b_c-d", &"n".repeat(63)] {
            assert!(Namespace::new(good).is_ok(), "{good}");
        }
        for bad in ["", "A", "-a", ".a", "a b", "a:b", "a{b}", "é", &"n".repeat(64)] {
            assert!(Namespace::new(bad).is_err(), "{bad}");
        }
    }
}
