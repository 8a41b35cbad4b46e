//! What is told by notifications: messages, and the doorbells of changes and streams.
//!
//! The server takes a lock of the whole cluster while it commits a notification, so no commit of ours has one in it.

use crate::arguments::Arguments;
use crate::error::Failure;
use crate::lane::{Lane, PendingQuestion, Reply, Traffic};
use crate::names::{Names, Topic};
use async_trait::async_trait;
use bytes::Bytes;
use linchpin_core::Result;
use sqlx::postgres::PgConnection;
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

/// Where notices are sent.
pub(crate) type Notices = Lane<Telling>;

/// The traffic of the lane.
pub(crate) struct Telling(pub(crate) Arc<Names>);

/// A notification.
pub(crate) struct Notice {
    topic: Topic,
    text: String,
    /// What does not fit into it, and the id that the text names it by.
    spilled: Option<(Vec<u8>, Bytes)>,
}

impl Notices {
    /// Tells the watchers how many changes there are. If it does not arrive they find out by themselves, a moment later.
    pub(crate) fn ring(&self, changes: u64) {
        self.tell(Notice { topic: Topic::Changes, text: changes.to_string(), spilled: None }, 1);
    }

    /// Wakes who waits for a stream.
    pub(crate) fn wake(&self, stream: &str) {
        let text = crate::names::to_text(stream.as_bytes());
        self.tell(Notice { topic: Topic::Streams, text, spilled: None }, 1);
    }

    /// Sends a message; returns when the server has it.
    pub(crate) async fn publish(&self, text: String, spilled: Option<(Vec<u8>, Bytes)>) -> Result<()> {
        self.ask(Notice { topic: Topic::Messages, text, spilled }).await
    }
}

const TELL: &str = "SELECT linchpin.tell($1, $2, $3)";

/// Old ones go as new ones come: so many more at once that they never pile up.
const SPILL: &str = "SELECT linchpin.spill($1, $2::bytea[], $3::bytea[])";

#[async_trait]
impl Traffic for Telling {
    type Question = Notice;
    type Answer = ();

    const OPERATION: &'static str = "publish";

    fn together(&self, waiting: &VecDeque<PendingQuestion<Notice, ()>>) -> usize {
        // The server takes what fits a transaction as a whole; this keeps one round trip short.
        const NOTICES: usize = 256;
        const BYTES: usize = 4 * 1024 * 1024;
        let mut bytes = 0;
        let fits = |asked: &&PendingQuestion<Notice, ()>| {
            bytes += asked.question.text.len();
            bytes += asked.question.spilled.as_ref().map_or(0, |(_, rest)| rest.len());
            bytes <= BYTES
        };
        waiting.iter().take(NOTICES).take_while(fits).count()
    }

    /// A doorbell may ring twice; a message may not come twice.
    fn may_repeat(&self, question: &Notice) -> bool {
        question.topic != Topic::Messages
    }

    async fn ask(&self, connection: &mut PgConnection, questions: &[&Notice]) -> Result<Vec<Reply<()>>, Failure> {
        let spilled: Vec<_> = questions.iter().filter_map(|notice| notice.spilled.as_ref()).collect();
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

/// Of the doorbells the last one of each kind says all; messages each stand for themselves.
fn once<'a>(notices: &[&'a Notice]) -> Vec<(&'static str, &'a str)> {
    let mut rung = HashSet::new();
    let needed = |notice: &&&'a Notice| match notice.topic {
        Topic::Messages => true,
        Topic::Changes => rung.insert(None),
        Topic::Streams => rung.insert(Some(notice.text.as_str())),
    };
    let mut told: Vec<_> = notices.iter().rev().filter(needed).map(|n| (n.topic.kind(), n.text.as_str())).collect();
    told.reverse();
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doorbells_ring_once_in_a_round_trip() {
        let notice = |topic, text: &str| Notice { topic, text: text.to_owned(), spilled: None };
        let (c, m, s) = (Topic::Changes, Topic::Messages, Topic::Streams);
        let notices = [(c, "1"), (m, "a"), (s, "x"), (c, "2"), (m, "a"), (s, "y"), (s, "x")].map(|(t, n)| notice(t, n));
        let told = once(&notices.iter().collect::<Vec<_>>());
        assert_eq!(told, [("m", "a"), ("c", "2"), ("m", "a"), ("s", "y"), ("s", "x")]);
    }
}
