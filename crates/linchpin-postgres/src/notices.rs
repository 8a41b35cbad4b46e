//! What is told by notifications: messages, and the doorbells of changes and streams.
//!
//! The server takes a lock of the whole cluster while it commits a notification, so no commit of ours has one in it.

use crate::arguments::Arguments;
use crate::error::Failure;
use crate::lane::{Lane, PendingQuestion, Reply, Traffic};
use crate::names::{Names, Topic};
use async_trait::async_trait;
use bytes::Bytes;
use linchpin_adapter::feed::Doorbell;
use linchpin_core::Result;
use sqlx::postgres::PgConnection;
use std::borrow::Cow;
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

/// Where notices are sent.
pub(crate) type Notices = Lane<NoticeTraffic>;

/// The traffic of the lane.
pub(crate) struct NoticeTraffic(pub(crate) Arc<Names>);

/// A notification.
pub(crate) enum Notice {
    /// There are changes.
    Changes(Doorbell),
    /// A stream is worth another look.
    Stream(String),
    Message {
        text: String,
        /// What does not fit into it, and the id that the text names it by.
        spilled: Option<(Vec<u8>, Bytes)>,
    },
}

impl Notice {
    fn bytes(&self) -> usize {
        match self {
            Self::Changes(_) => 0,
            Self::Stream(text) => text.len(),
            Self::Message { text, spilled } => text.len() + spilled.as_ref().map_or(0, |(_, rest)| rest.len()),
        }
    }

    fn spilled(&self) -> Option<&(Vec<u8>, Bytes)> {
        match self {
            Self::Message { spilled, .. } => spilled.as_ref(),
            _ => None,
        }
    }
}

impl Notices {
    /// Tells the watchers. If it does not arrive they find out by themselves, a moment later.
    pub(crate) fn ring(&self, doorbell: Doorbell) {
        self.tell(Notice::Changes(doorbell), 1);
    }

    /// Wakes who waits for a stream.
    pub(crate) fn wake(&self, stream: &str) {
        self.tell(Notice::Stream(crate::names::to_text(stream.as_bytes())), 1);
    }

    /// Sends a message; returns when the server has it.
    pub(crate) async fn publish(&self, text: String, spilled: Option<(Vec<u8>, Bytes)>) -> Result<()> {
        self.ask(Notice::Message { text, spilled }).await
    }
}

const TELL: &str = "SELECT linchpin.tell($1, $2, $3)";

/// Old ones go as new ones come: so many more at once that they never pile up.
const SPILL: &str = "SELECT linchpin.spill($1, $2::bytea[], $3::bytea[])";

#[async_trait]
impl Traffic for NoticeTraffic {
    type Question = Notice;
    type Answer = ();

    const OPERATION: &'static str = "publish";

    fn together(&self, waiting: &VecDeque<PendingQuestion<Notice, ()>>) -> usize {
        // The server takes what fits a transaction as a whole; this keeps one round trip short.
        const NOTICES: usize = 256;
        const BYTES: usize = 4 * 1024 * 1024;
        let mut bytes = 0;
        let fits = |asked: &&PendingQuestion<Notice, ()>| {
            bytes += asked.question.bytes();
            bytes <= BYTES
        };
        waiting.iter().take(NOTICES).take_while(fits).count()
    }

    /// A doorbell may ring twice; a message may not come twice.
    fn may_repeat(&self, question: &Notice) -> bool {
        !matches!(question, Notice::Message { .. })
    }

    async fn ask(&self, connection: &mut PgConnection, questions: &[&Notice]) -> Result<Vec<Reply<()>>, Failure> {
        let spilled: Vec<_> = questions.iter().filter_map(|notice| notice.spilled()).collect();
        if !spilled.is_empty() {
            // On its own before: whoever is told of it finds it.
            let (ids, payloads): (Vec<_>, Vec<_>) = spilled.iter().map(|(id, rest)| (&id[..], &rest[..])).unzip();
            let given = Arguments::default().with(&self.0.namespace).with(ids).with(payloads);
            sqlx::query_with(SPILL, given.arguments()?).execute(&mut *connection).await?;
        }
        let (kinds, texts): (Vec<_>, Vec<_>) = once(questions).into_iter().unzip();
        let given = Arguments::default().with(&self.0.namespace).with(kinds).with(texts);
        sqlx::query_with(TELL, given.arguments()?).execute(connection).await?;
        Ok(questions.iter().map(|_| Reply::Answer(Ok(()))).collect())
    }
}

/// Doorbells are told as one of each kind; messages each stand for themselves.
fn once<'a>(notices: &[&'a Notice]) -> Vec<(&'static str, Cow<'a, str>)> {
    let mut woken = HashSet::new();
    let mut doorbell: Option<Doorbell> = None;
    let mut told = Vec::with_capacity(notices.len());
    for notice in notices {
        match notice {
            Notice::Changes(rung) => {
                let rung = rung.clone();
                doorbell = Some(match doorbell.take() {
                    Some(before) => before.and(rung),
                    None => rung,
                });
            }
            Notice::Stream(stream) if !woken.insert(stream) => {}
            Notice::Stream(text) => told.push((Topic::Streams.kind(), Cow::from(text))),
            Notice::Message { text, .. } => told.push((Topic::Messages.kind(), Cow::from(text))),
        }
    }
    told.extend(doorbell.map(|doorbell| (Topic::Changes.kind(), doorbell.to_string().into())));
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::topic_hash;
    use linchpin_adapter::feed::Topics;

    #[test]
    fn doorbells_ring_once_in_a_round_trip() {
        let rung = |changes, key| Doorbell { changes, count: 1, topics: Topics::of_key(key, topic_hash) };
        let message = |text: &str| Notice::Message { text: text.to_owned(), spilled: None };
        let stream = |name: &str| Notice::Stream(name.to_owned());
        let [first, second] = [rung(1, "k"), rung(4, "l")].map(Notice::Changes);
        let notices = [first, message("a"), stream("x"), second, message("a"), stream("y"), stream("x")];
        let told = once(&notices.iter().collect::<Vec<_>>());
        let both = rung(1, "k").and(rung(4, "l")).to_string();
        let expected = [("m", "a"), ("s", "x"), ("m", "a"), ("s", "y"), ("c", both.as_str())];
        assert_eq!(told, expected.map(|(kind, text)| (kind, text.into())));
    }
}
