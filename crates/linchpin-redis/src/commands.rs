//! The Lua scripts and the names that keys have on the server.

use linchpin_core::{Key, Namespace, StreamName};
use redis::{Arg, Cmd, Script, ToRedisArgs};
use std::sync::{Arc, LazyLock};

/// A script as text, and the name that the server knows it by once it has run it.
pub(crate) struct Program {
    text: &'static str,
    hash: String,
}

impl Program {
    fn new(text: &'static str) -> Self {
        Self { text, hash: Script::new(text).get_hash().to_owned() }
    }
}

macro_rules! script {
    ($($part:literal),+) => {
        LazyLock::new(|| Program::new(concat!($(include_str!(concat!("lua/", $part, ".lua"))),+)))
    };
}

pub(crate) static GET: LazyLock<Program> = script!("prelude", "get");
pub(crate) static SCAN: LazyLock<Program> = script!("prelude", "scan");
pub(crate) static COMMIT: LazyLock<Program> = script!("simple", "prelude", "commit");
pub(crate) static SWEEP: LazyLock<Program> = script!("prelude", "sweep");
pub(crate) static NOTE: LazyLock<Program> = script!("prelude", "note");
pub(crate) static CLEAR: LazyLock<Program> = script!("prelude", "streams", "clear");
pub(crate) static APPEND: LazyLock<Program> = script!("prelude", "streams", "append");
pub(crate) static CLAIM: LazyLock<Program> = script!("prelude", "streams", "claim");
pub(crate) static SETTLE: LazyLock<Program> = script!("prelude", "streams", "settle");
pub(crate) static INSPECT: LazyLock<Program> = script!("prelude", "streams", "inspect");
pub(crate) static TRIM: LazyLock<Program> = script!("prelude", "streams", "trim");
pub(crate) static REMOVE_GROUP: LazyLock<Program> = script!("prelude", "streams", "remove_group");

/// What every name of a namespace starts with on the server. The braces make it one hash slot. Channels know no
/// databases, so the number of theirs is part of what they start with.
#[derive(Clone, Debug)]
pub(crate) struct Prefix {
    names: Arc<str>,
    channels: Arc<str>,
}

impl Prefix {
    pub(crate) fn new(namespace: &Namespace, database: i64) -> Self {
        let names = format!("linchpin:{{{namespace}}}:");
        Self { channels: format!("{names}{database}:").into(), names: names.into() }
    }

    /// A name on the server.
    pub(crate) fn name(&self, name: &str) -> String {
        [&*self.names, name].concat()
    }

    /// Where a key lies on the server.
    pub(crate) fn key(&self, key: &Key) -> String {
        [&*self.names, "k:", key.as_str()].concat()
    }

    /// A channel on the server.
    pub(crate) fn channel(&self, name: &str) -> String {
        [&*self.channels, name].concat()
    }

    /// The name within the namespace of a channel on the server.
    pub(crate) fn strip_channel<'a>(&self, name: &'a str) -> Option<&'a str> {
        name.strip_prefix(&*self.channels)
    }

    /// The pattern of all channels of the namespace, as its ACL writes it: those of other databases too.
    pub(crate) fn whole(&self) -> String {
        self.name("*")
    }

    /// Prepares a script: the keys that route it, and the prefix that it builds all names from.
    pub(crate) fn invoke(&self, program: &'static Program) -> ScriptCall {
        let mut command = Cmd::with_capacity(24, 512);
        command.arg("EVALSHA").arg(&program.hash).arg(2).arg(self.name("meta")).arg(&*self.channels).arg(&*self.names);
        ScriptCall { program, command }
    }
}

/// The namespace that a name on the server belongs to.
pub(crate) fn namespace_of(name: &[u8]) -> Option<&[u8]> {
    let rest = name.strip_prefix(b"linchpin:{")?;
    let end = rest.windows(2).position(|pair| pair == b"}:")?;
    Some(&rest[..end])
}

/// The channel, within the namespace, on which everybody who watches hears who looked for what has ended.
pub(crate) const LOG: &str = "log";

/// What the channels start with on which the scripts tell of the changes of a topic.
pub(crate) const CHANGES: &str = "log:";
/// What the channels start with on which they tell of the changes of a key that shares its topic.
pub(crate) const KEY_CHANGES: &str = "key:";
/// What a user's channel starts with, within the namespace.
pub(crate) const CHANNELS: &str = "c:";

/// What the channels start with on which a stream's waiting members are woken.
pub(crate) const WAKE: &str = "w:";

/// The channel, within the namespace, on which a stream's waiting members are woken.
pub(crate) fn wake(stream: &StreamName) -> String {
    format!("{WAKE}{}", stream.storage_name())
}

/// A script with its arguments.
pub(crate) struct ScriptCall {
    program: &'static Program,
    /// By its name.
    pub(crate) command: Cmd,
}

impl ScriptCall {
    pub(crate) fn arg(&mut self, arg: impl ToRedisArgs) -> &mut Self {
        self.command.arg(arg);
        self
    }

    /// The same by its text, for a server that does not know it (any more): one command, so that nothing comes between
    /// loading and running it.
    pub(crate) fn by_text(&self) -> Cmd {
        let mut command = Cmd::with_capacity(24, self.program.text.len() + 512);
        command.arg("EVAL").arg(self.program.text);
        for argument in self.command.args_iter().skip(2) {
            if let Arg::Simple(argument) = argument {
                command.arg(argument);
            }
        }
        command
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
