//! Counting the messages that reach the server: a subscriber of the subjects that they are sent to.

use super::{RESPONSE_TIMEOUT, Server, settle};
use crate::bench::problem::{Problem, Result};
use crate::bench::raw::{Counter, Requests};
use async_nats::{Client, ConnectOptions, Subscriber};
use futures::FutureExt;
use futures::stream::{SelectAll, StreamExt, select_all};
use std::time::Duration;

/// More than come between two marks.
const CAPACITY: usize = 1 << 20;
/// How long nothing may come before a mark is taken for lost.
const PATIENCE: Duration = Duration::from_secs(30);

/// Sees what clients send to this run's streams, and nothing of others.
///
/// Not seen is what a client sends to itself, or to a subject that nobody listens to, to hear that what was sent before
/// is handled: the adapter does so after each message and each subscription.
pub(crate) struct Taps {
    client: Client,
    messages: SelectAll<Subscriber>,
    namespace: String,
    marker: String,
    nobody: String,
    marks: u64,
}

impl Taps {
    pub(super) async fn open(server: &Server) -> Result<Self> {
        let client = server.connect_with(ConnectOptions::new().subscription_capacity(CAPACITY)).await?;
        let namespace = server.namespace.clone();
        let marker = server.subject("mark");
        let adapter = format!("linchpin.{namespace}");
        // What the adapter and the raw client ask JetStream, and what they write.
        let tapped = [
            "$JS.API.>".to_owned(),
            format!("{adapter}.log"),
            format!("{adapter}.r.>"),
            format!("{adapter}.m.>"),
            server.subject("tokens.>"),
            marker.clone(),
        ];
        let mut subscribers = Vec::new();
        for subject in tapped {
            subscribers.push(client.subscribe(subject).await?);
        }
        let nobody = server.nobody();
        settle(&client, nobody.clone()).await?;
        Ok(Self { client, messages: select_all(subscribers), namespace, marker, nobody, marks: 0 })
    }
}

impl Counter for Taps {
    async fn mark(&mut self) -> Result<Requests> {
        self.marks += 1;
        let mark = self.marks.to_string();
        self.client.publish(self.marker.clone(), mark.clone().into()).await?;
        // What came before has been handed out by the client then.
        tokio::time::timeout(RESPONSE_TIMEOUT, settle(&self.client, self.nobody.clone()))
            .await
            .map_err(|_| Problem::new("the server does not answer"))??;
        let mut requests = Requests::default();
        let mut marked = false;
        loop {
            // Subscriptions are read in no order, so all that is there is read; without a budget, which would look as if
            // nothing more were there.
            let message = match tokio::task::unconstrained(self.messages.next()).now_or_never() {
                Some(message) => message,
                None if marked => return Ok(requests),
                None => tokio::time::timeout(PATIENCE, self.messages.next())
                    .await
                    .map_err(|_| Problem::new(format!("a mark did not come within {PATIENCE:?}")))?,
            };
            let message = message.ok_or_else(|| Problem::new("the server ended a subscription"))?;
            if message.subject.as_str() == self.marker {
                marked |= message.payload == mark;
            } else if let Some(what) = asked(&message.subject, &self.namespace) {
                requests.add(what);
            }
        }
    }
}

/// What a message of this run asks for.
fn asked(subject: &str, namespace: &str) -> Option<String> {
    let Some(request) = subject.strip_prefix("$JS.API.") else { return Some("publish".to_owned()) };
    if !request.contains(namespace) {
        return None;
    }
    let is_word = |token: &&str| token.chars().all(|c| c.is_ascii_uppercase());
    Some(request.split('.').take_while(is_word).collect::<Vec<_>>().join("."))
}

#[cfg(test)]
mod tests {
    use super::asked;

    #[test]
    fn what_this_run_asks_for_counts_and_what_others_do_does_not() {
        for (subject, expected) in [
            ("linchpin.bench-1.log", Some("publish")),
            ("$JS.API.DIRECT.GET.linchpin_bench-1_DATA", Some("DIRECT.GET")),
            ("$JS.API.CONSUMER.CREATE.linchpin_bench-1_LOG.linchpin-abc", Some("CONSUMER.CREATE")),
            ("$JS.API.STREAM.INFO.linchpin_bench-2_LOG", None),
        ] {
            assert_eq!(asked(subject, "bench-1").as_deref(), expected, "{subject}");
        }
    }
}
