//! What is written into messages, and how it is read.

use async_nats::{HeaderMap, Message};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use linchpin_core::{Entry, Error, Key, Result, Revision};
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;

/// The header in which a key's message says what its place in the stream does not: `created version rest`.
pub(crate) const META: &str = "Linchpin";
/// The header that lists the transactions that wrote the key lately.
pub(crate) const IDS: &str = "Linchpin-Ids";

/// A message of a stream.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) subject: String,
    pub(crate) sequence: u64,
    /// When it was stored, by the server's clock.
    pub(crate) time: Time,
    pub(crate) headers: Arc<HeaderMap>,
    pub(crate) payload: Bytes,
}

/// A point in time by a server's clock: microseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Time(pub(crate) u64);

impl Time {
    pub(crate) fn after(self, time: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX)))
    }

    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// Reads what the server writes: `2026-11-21T20:10:24.834781611Z`.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let time = humantime::parse_rfc3339(text).ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
        u64::try_from(time.as_micros()).ok().map(Self)
    }
}

/// A message as `STREAM.MSG.GET` answers it.
#[derive(Deserialize)]
struct Got {
    message: GotMessage,
}

#[derive(Deserialize)]
struct GotMessage {
    subject: String,
    seq: u64,
    time: String,
    #[serde(default)]
    hdrs: String,
    #[serde(default)]
    data: String,
}

impl Stored {
    /// Reads an answer of `STREAM.MSG.GET`.
    pub(crate) fn of_answer(operation: &'static str, answer: &[u8]) -> Result<Self> {
        let bad = |what: &str| Error::unreadable(operation, what);
        let Got { message } = serde_json::from_slice(answer).map_err(|_| bad("no message"))?;
        let headers = STANDARD.decode(&message.hdrs).map_err(|_| bad("headers"))?;
        Ok(Self {
            subject: message.subject,
            sequence: message.seq,
            time: Time::read(&message.time).ok_or_else(|| bad("no time"))?,
            headers: Arc::new(read_headers(&headers)),
            payload: STANDARD.decode(&message.data).map_err(|_| bad("payload"))?.into(),
        })
    }

    /// Reads a message that a direct read answered.
    pub(crate) fn of_direct(operation: &'static str, message: Message) -> Result<Self> {
        let headers = Arc::new(message.headers.unwrap_or_default());
        let text = |name: &str| last(&headers, name).unwrap_or_default();
        let sequence = text("Nats-Sequence").parse().map_err(|_| Error::unreadable(operation, "no sequence"))?;
        let time = Time::read(text("Nats-Time-Stamp")).ok_or_else(|| Error::unreadable(operation, "no time"))?;
        let subject = text("Nats-Subject").to_owned();
        Ok(Self { subject, sequence, time, headers, payload: message.payload })
    }
}

/// The last value of a header. The server adds its own after those that were published.
pub(crate) fn last<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get_last(name).map(async_nats::HeaderValue::as_str)
}

/// Reads headers as they are stored: a line each, after the line of the protocol's version.
fn read_headers(stored: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in String::from_utf8_lossy(stored).split("\r\n").skip(1) {
        if let Some((name, value)) = line.split_once(':') {
            headers.append(name, value.trim());
        }
    }
    headers
}

/// The content of a key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Content {
    pub(crate) value: Bytes,
    pub(crate) created: Revision,
    pub(crate) version: Revision,
    /// How long it was granted to live when its message was stored, and when it ends.
    pub(crate) ttl: Option<(Duration, Time)>,
    /// When the server removes it, which is at its end or, where the end was decided before, up to a second later.
    pub(crate) removed: Option<Time>,
}

impl Content {
    pub(crate) fn entry(&self, key: &Key, now: Time) -> Entry {
        let ttl = self.left(now);
        Entry { key: key.clone(), value: self.value.clone(), created: self.created, version: self.version, ttl }
    }

    /// How long it has left to live: never more than it was granted, though the server's clock may be ahead of what is
    /// known of it.
    pub(crate) fn left(&self, now: Time) -> Option<Duration> {
        self.ttl.map(|(granted, end)| end.since(now).min(granted))
    }

    /// Whether its time is over, though the server may not have removed it yet.
    pub(crate) fn is_over(&self, now: Time) -> bool {
        self.ttl.is_some_and(|(_, end)| end <= now)
    }

    pub(crate) fn end(&self) -> Option<Time> {
        self.ttl.map(|(_, end)| end)
    }
}

/// What a key's message says of its place in history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Meta {
    /// The revision at which the key came to be; 0 is that of this write.
    pub(crate) created: u64,
    /// The revision of the last write, where this message only lets the key live longer; 0 is that of this message.
    pub(crate) version: u64,
    /// How many messages of the same transaction follow.
    pub(crate) rest: u64,
    /// When the key ends, if that was decided before: in microseconds since 1970. The server counts seconds, and lets it
    /// live up to one longer. 0 is the TTL of this message.
    pub(crate) end: u64,
}

impl Meta {
    pub(crate) fn write(self) -> String {
        let Self { created, version, rest, end } = self;
        if end == 0 { format!("{created} {version} {rest}") } else { format!("{created} {version} {rest} {end}") }
    }

    /// Of a message without any, which linchpin did not write: the key came to be with it.
    fn read(headers: &HeaderMap) -> Self {
        let mut numbers = last(headers, META).unwrap_or_default().split(' ').map(|text| text.parse().unwrap_or(0));
        let mut next = || numbers.next().unwrap_or(0);
        Self { created: next(), version: next(), rest: next(), end: next() }
    }
}

/// Reads what a key's message holds. The content is `None` for one that says that the key is gone.
pub(crate) fn read_key(message: &Stored) -> (Meta, Revision, Option<Content>) {
    let headers = &message.headers;
    let meta = Meta::read(headers);
    // All of a transaction's writes are of the revision of its last.
    let version = if meta.version == 0 { message.sequence.saturating_add(meta.rest) } else { meta.version };
    let is_gone = headers.get("Nats-Marker-Reason").is_some() || headers.get("KV-Operation").is_some();
    let content = (!is_gone).then(|| {
        // Other tools write the unit too.
        let ttl = last(headers, "Nats-TTL").and_then(|text| text.trim_end_matches('s').parse().ok());
        let ttl = ttl.map(Duration::from_secs);
        let end = |ttl| if meta.end == 0 { message.time.after(ttl) } else { Time(meta.end) };
        Content {
            value: message.payload.clone(),
            created: Revision(if meta.created == 0 { version } else { meta.created }),
            version: Revision(version),
            ttl: ttl.map(|ttl| (ttl, end(ttl))),
            removed: ttl.map(|ttl| message.time.after(ttl)),
        }
    });
    (meta, Revision(version), content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        assert_eq!(Time::read("1970-01-01T00:00:01.5Z"), Some(Time(1_500_000)));
        assert_eq!(Time::read("2026-11-21T20:10:24.834781611Z").map(|time| time.0 % 1_000_000), Some(834_781));
        assert_eq!(Time::read("yesterday"), None);
    }

    #[test]
    fn an_answer_is_read() {
        let headers = STANDARD.encode("NATS/1.0\r\nLinchpin: 3 0 2\r\nNats-TTL: 9\r\n\r\n");
        let answer = format!(
            r#"{{"message":{{"subject":"s","seq":7,"hdrs":"{headers}","data":"eA==","time":"1970-01-01T00:00:01Z"}}}}"#
        );
        let message = Stored::of_answer("get", answer.as_bytes()).expect("reads");
        let (meta, version, content) = read_key(&message);
        let content = content.expect("it is there");
        assert_eq!((meta, version), (Meta { created: 3, version: 0, rest: 2, end: 0 }, Revision(9)));
        assert_eq!((content.created, content.version, &content.value[..]), (Revision(3), Revision(9), &b"x"[..]));
        assert_eq!(content.ttl, Some((Duration::from_secs(9), Time(10_000_000))));
        assert!(Stored::of_answer("get", b"{}").is_err());
    }

    #[test]
    fn what_others_wrote_came_to_be_with_its_message_and_markers_are_nothing() {
        let message = |headers| Stored {
            subject: "s".to_owned(),
            sequence: 5,
            time: Time(0),
            headers: Arc::new(headers),
            payload: Bytes::from_static(b"v"),
        };
        let (_, version, content) = read_key(&message(HeaderMap::new()));
        assert_eq!((version, content.map(|content| content.created)), (Revision(5), Some(Revision(5))));
        for (name, value) in [("KV-Operation", "DEL"), ("Nats-Marker-Reason", "MaxAge")] {
            let mut headers = HeaderMap::new();
            headers.insert(name, value);
            assert!(read_key(&message(headers)).2.is_none());
        }
    }
}
