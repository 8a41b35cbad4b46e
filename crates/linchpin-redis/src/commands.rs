//! The Lua scripts and the names that keys have on the server.

use linchpin_core::{Key, Namespace, StreamName};
use redis::{Cmd, Script, ToRedisArgs};
use std::sync::{Arc, LazyLock};

macro_rules! script {
    ($($part:literal),+) => {
        LazyLock::new(|| Script::new(concat!($(include_str!(concat!("lua/", $part, ".lua"))),+)))
    };
}

pub(crate) static GET: LazyLock<Script> = script!("prelude", "get");
pub(crate) static SCAN: LazyLock<Script> = script!("prelude", "scan");
pub(crate) static COMMIT: LazyLock<Script> = script!("simple", "prelude", "commit");
pub(crate) static SWEEP: LazyLock<Script> = script!("prelude", "sweep");
pub(crate) static CLEAR: LazyLock<Script> = script!("prelude", "streams", "clear");
pub(crate) static APPEND: LazyLock<Script> = script!("prelude", "streams", "append");
pub(crate) static CLAIM: LazyLock<Script> = script!("prelude", "streams", "claim");
pub(crate) static SETTLE: LazyLock<Script> = script!("prelude", "streams", "settle");
pub(crate) static INSPECT: LazyLock<Script> = script!("prelude", "streams", "inspect");
pub(crate) static TRIM: LazyLock<Script> = script!("prelude", "streams", "trim");
pub(crate) static REMOVE_GROUP: LazyLock<Script> = script!("prelude", "streams", "remove_group");

/// What every name of a namespace starts with on the server. The braces make it one hash slot.
#[derive(Clone, Debug)]
pub(crate) struct Prefix(Arc<str>);

impl Prefix {
    pub(crate) fn new(namespace: &Namespace) -> Self {
        Self(format!("linchpin:{{{namespace}}}:").into())
    }

    /// A name on the server.
    pub(crate) fn name(&self, name: &str) -> String {
        [&*self.0, name].concat()
    }

    /// Where a key lies on the server.
    pub(crate) fn key(&self, key: &Key) -> String {
        [&*self.0, "k:", key.as_str()].concat()
    }

    /// The name within the namespace of one on the server.
    pub(crate) fn strip<'a>(&self, name: &'a str) -> Option<&'a str> {
        name.strip_prefix(&*self.0)
    }

    /// Prepares a script: the key that routes it, and the prefix that it builds all others from.
    pub(crate) fn invoke(&self, script: &'static Script) -> ScriptCall {
        let mut command = Cmd::with_capacity(24, 512);
        command.arg("EVALSHA").arg(script.get_hash()).arg(1).arg(self.name("meta")).arg(&*self.0);
        ScriptCall { script, command }
    }
}

/// The namespace that a name on the server belongs to.
pub(crate) fn namespace_of(name: &[u8]) -> Option<&[u8]> {
    let rest = name.strip_prefix(b"linchpin:{")?;
    let end = rest.windows(2).position(|pair| pair == b"}:")?;
    Some(&rest[..end])
}

/// The channel on which the scripts tell of changes, by its name within the namespace.
pub(crate) const LOG: &str = "log";
/// What a user's channel starts with, within the namespace.
pub(crate) const CHANNELS: &str = "c:";

/// The channel, within the namespace, on which a stream's waiting members are woken.
pub(crate) fn wake(stream: &StreamName) -> String {
    format!("w:{}", stream.storage_name())
}

/// A script with its arguments.
pub(crate) struct ScriptCall {
    pub(crate) script: &'static Script,
    pub(crate) command: Cmd,
}

impl ScriptCall {
    pub(crate) fn arg(&mut self, arg: impl ToRedisArgs) -> &mut Self {
        self.command.arg(arg);
        self
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
