//! The connection that the server pushes over.

use crate::commands::Prefix;
use crate::connection::{Connection, is_primary, role};
use crate::error;
use crate::line::Line;
use bytes::Bytes;
use linchpin_adapter::hub::{self, Hub, Intake, Link, Pusher, Topic};
use linchpin_core::{Error, ErrorKind, Result};
use redis::{PushInfo, PushKind, RedisResult, Value};
use std::sync::Arc;
use std::time::Duration;

/// What the server pushes to a handle, and listening to some of it.
pub(crate) type Pushes = Hub<Pubsub>;
pub(crate) type Listening = hub::Listening<Pubsub>;

/// How often a silent connection is asked whether it is still there, and how long it may take to say so.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// The whole namespace, as its ACL writes it.
const WHOLE: Topic = Topic::Start(String::new());

/// The server's pub/sub.
pub(crate) struct Pubsub {
    pub(crate) connection: Connection,
    pub(crate) prefix: Prefix,
}

impl Pusher for Pubsub {
    type Link = Server;

    async fn connect(&self, intake: Arc<Intake>) -> Result<Server> {
        let (prefix, taking) = (self.prefix.clone(), intake.clone());
        let line = self.connection.subscriber("subscribe", move |push| take(&prefix, &taking, push)).await?;
        Ok(Server { line, prefix: self.prefix.clone(), whole_only: false })
    }

    fn heartbeat(&self) -> Duration {
        HEARTBEAT
    }

    fn patience(&self) -> Duration {
        self.connection.response_timeout()
    }
}

/// Takes one push: a message, or the confirmation of a subscription.
fn take(prefix: &Prefix, intake: &Intake, push: PushInfo) {
    let mut data = push.data.into_iter().map(|value| match value {
        Value::BulkString(bytes) => bytes,
        _ => Vec::new(),
    });
    let mut name = || String::from_utf8(data.next().unwrap_or_default()).unwrap_or_default();
    match push.kind {
        PushKind::Subscribe => channel_on(prefix, &name()).into_iter().for_each(|via| intake.confirm(via)),
        PushKind::PSubscribe => start_on(prefix, &name()).into_iter().for_each(|via| intake.confirm(via)),
        PushKind::Message | PushKind::PMessage => {
            let first = name();
            let (via, channel) = match push.kind {
                PushKind::Message => (channel_on(prefix, &first), first),
                _ => (start_on(prefix, &first), name()),
            };
            if let (Some(via), Some(channel)) = (via, prefix.strip_channel(&channel)) {
                intake.message(&via, channel, &Bytes::from(data.next().unwrap_or_default()));
            }
        }
        _ => {}
    }
}

/// The channel, or the pattern, as the server is asked for it.
fn on_server(topic: &Topic, prefix: &Prefix) -> String {
    match topic {
        Topic::Channel(name) => prefix.channel(name),
        Topic::Start(start) if start.is_empty() => prefix.whole(),
        Topic::Start(start) => {
            let mut glob = prefix.channel("");
            for c in start.chars() {
                if matches!(c, '*' | '?' | '[' | ']' | '\\') {
                    glob.push('\\');
                }
                glob.push(c);
            }
            glob.push('*');
            glob
        }
    }
}

/// The topic of a channel that the server names.
fn channel_on(prefix: &Prefix, name: &str) -> Option<Topic> {
    prefix.strip_channel(name).map(|name| Topic::Channel(name.to_owned()))
}

/// The topic of a pattern that the server names.
fn start_on(prefix: &Prefix, glob: &str) -> Option<Topic> {
    let mut start = String::new();
    if glob == prefix.whole() {
        return Some(Topic::Start(start));
    }
    let mut escaped = prefix.strip_channel(glob)?.strip_suffix('*')?.chars();
    while let Some(c) = escaped.next() {
        start.push(if c == '\\' { escaped.next()? } else { c });
    }
    Some(Topic::Start(start))
}

/// The connection that the server pushes over.
pub(crate) struct Server {
    line: Line,
    prefix: Prefix,
    /// The user may subscribe to no other pattern than the whole namespace: ACLs compare patterns literally.
    whole_only: bool,
}

impl Link for Server {
    async fn ended(&self) {
        self.line.ended().await;
    }

    /// Whether the server is there, and is the one that everything is told by: a replica is told late, or never.
    async fn ping(&self) -> Result<()> {
        let mut redis = self.line.redis();
        let answer = self.answered(async { role().query_async::<Value>(&mut redis).await }).await?;
        if is_primary(&answer) { Ok(()) } else { Err(error::Failure::Demoted.of_command("subscribe")) }
    }

    async fn subscribe(&mut self, topics: Vec<Topic>) -> Result<Vec<Topic>> {
        let (mut starts, mut subscribed): (Vec<_>, Vec<_>) = topics.into_iter().partition(Topic::is_start);
        if !subscribed.is_empty() {
            self.answered(self.line.redis().subscribe(self.names(&subscribed))).await?;
        }
        if !starts.is_empty() && !self.whole_only {
            match self.answered(self.line.redis().psubscribe(self.names(&starts))).await {
                Err(error) if error.kind() == ErrorKind::Unauthorized => {
                    self.answered(self.line.redis().psubscribe(on_server(&WHOLE, &self.prefix))).await?;
                    self.whole_only = true;
                }
                result => result?,
            }
        }
        if self.whole_only && !starts.is_empty() {
            starts = vec![WHOLE];
        }
        subscribed.append(&mut starts);
        Ok(subscribed)
    }

    async fn unsubscribe(&mut self, topics: Vec<Topic>) -> Result<()> {
        let (starts, channels): (Vec<_>, Vec<_>) = topics.into_iter().partition(Topic::is_start);
        if !channels.is_empty() {
            self.answered(self.line.redis().unsubscribe(self.names(&channels))).await?;
        }
        if !starts.is_empty() {
            self.answered(self.line.redis().punsubscribe(self.names(&starts))).await?;
        }
        Ok(())
    }
}

impl Server {
    fn names(&self, topics: &[Topic]) -> Vec<String> {
        topics.iter().map(|topic| on_server(topic, &self.prefix)).collect()
    }

    /// The answer of a connection that may be dead without anybody having said so. Over a slow line much may come before
    /// it that was sent earlier: as long as that comes, it lives.
    async fn answered<T>(&self, answer: impl Future<Output = RedisResult<T>>) -> Result<T> {
        tokio::pin!(answer);
        loop {
            let heard = self.line.heard();
            match tokio::time::timeout(HEARTBEAT * 2, &mut answer).await {
                Ok(answer) => return answer.map_err(|error| error::of_command("subscribe", error).of_read()),
                Err(_) if self.line.heard() == heard => {
                    return Err(Error::timeout("subscribe", HEARTBEAT * 2).of_read());
                }
                Err(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use linchpin_core::Namespace;

    #[test]
    fn what_the_server_is_asked_for_comes_back_as_the_topic() {
        let prefix = Prefix::new(&Namespace::new("a").expect("valid"), 3);
        for topic in [
            Topic::Start(String::new()),
            Topic::Start("c:*[x]?\\é".to_owned()),
            Topic::Channel("c:*".to_owned()),
            Topic::Channel("log".to_owned()),
        ] {
            let name = on_server(&topic, &prefix);
            let back = if topic.is_start() { start_on(&prefix, &name) } else { channel_on(&prefix, &name) };
            assert_eq!(back, Some(topic), "{name}");
        }
        for other in ["linchpin:{b}:3:log", "linchpin:{a}:2:log", "linchpin:{a}:log"] {
            assert_eq!(channel_on(&prefix, other), None, "{other}");
        }
    }
}
