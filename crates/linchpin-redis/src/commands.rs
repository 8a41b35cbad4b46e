//! The Lua scripts and the names that keys have on the server.

use linchpin_core::{Namespace, StreamName};
use redis::Script;
use std::sync::LazyLock;

macro_rules! script {
    ($($part:literal),+) => {
        LazyLock::new(|| Script::new(concat!($(include_str!(concat!("lua/", $part, ".lua"))),+)))
    };
}

pub(crate) static GET: LazyLock<Script> = script!("prelude", "get");
pub(crate) static SCAN: LazyLock<Script> = script!("prelude", "scan");
pub(crate) static COMMIT: LazyLock<Script> = script!("prelude", "commit");
pub(crate) static SWEEP: LazyLock<Script> = script!("prelude", "sweep");
pub(crate) static POSITION: LazyLock<Script> = script!("prelude", "position");
pub(crate) static CLEAR: LazyLock<Script> = script!("prelude", "clear");
pub(crate) static APPEND: LazyLock<Script> = script!("prelude", "streams", "append");
pub(crate) static CLAIM: LazyLock<Script> = script!("prelude", "streams", "claim");
pub(crate) static SETTLE: LazyLock<Script> = script!("prelude", "streams", "settle");
pub(crate) static INSPECT: LazyLock<Script> = script!("prelude", "streams", "inspect");
pub(crate) static TRIM: LazyLock<Script> = script!("prelude", "streams", "trim");

/// What every name of a namespace starts with on the server. The braces make it one hash slot.
#[derive(Clone, Debug)]
pub(crate) struct Prefix(String);

impl Prefix {
    pub(crate) fn new(namespace: &Namespace) -> Self {
        Self(format!("linchpin:{{{namespace}}}:"))
    }

    /// Prepares a script: the key that routes it, and the prefix that it builds all others from.
    pub(crate) fn invoke<'a>(&self, script: &'a Script) -> redis::ScriptInvocation<'a> {
        let mut invocation = script.key(format!("{}meta", self.0));
        invocation.arg(&self.0);
        invocation
    }

    /// The change log.
    pub(crate) fn log(&self) -> String {
        format!("{}log", self.0)
    }

    /// A user's channel, or the literal start of some.
    pub(crate) fn channel(&self, name: &str) -> String {
        format!("{}c:{name}", self.0)
    }

    /// The pattern of all channels, as the namespace's ACL writes it.
    pub(crate) fn whole(&self) -> String {
        format!("{}*", self.0)
    }

    /// The channel on which a stream's waiting members are woken.
    pub(crate) fn wake(&self, stream: &StreamName) -> String {
        format!("{}w:{}", self.0, stream.storage_name())
    }

    /// The user's channel that a server's channel stands for.
    pub(crate) fn own_channel<'a>(&self, channel: &'a str) -> Option<&'a str> {
        channel.strip_prefix(self.0.as_str())?.strip_prefix("c:")
    }
}

/// The bounds of `ZRANGEBYLEX` for the names that start with `prefix`, after `after` if that is given.
/// Names are UTF-8, in which the byte 0xFF never occurs.
pub(crate) fn lex_bounds(prefix: &str, after: Option<&str>) -> (Vec<u8>, Vec<u8>) {
    let bound = |open: u8, text: &str| [&[open], text.as_bytes()].concat();
    let min = match after.filter(|after| *after >= prefix) {
        Some(after) => bound(b'(', after),
        None => bound(b'[', prefix),
    };
    let mut max = bound(b'(', prefix);
    max.push(0xFF);
    (min, max)
}
