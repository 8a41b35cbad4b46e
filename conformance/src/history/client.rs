//! A client of a run: it makes a call, and writes down what it did and was told.

use super::record::{Decision, Delivered, Event, Read, Receipted, Recorder, Reply, Seen, Txn, Verdict, nanos};
use linchpin_core::{
    Action, Claim, Driver, Error, GroupName, Key, Position, Receipt, Record, Settled, Settlement, StreamName,
    TransactionId,
};
use std::sync::Arc;
use std::time::Duration;

/// One client, which makes one call after the other.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) number: u32,
    pub(crate) driver: Arc<dyn Driver>,
    pub(crate) recorder: Arc<Recorder>,
}

/// A stream and one of its groups.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    pub(crate) stream: StreamName,
    pub(crate) group: GroupName,
}

impl Client {
    /// Reads keys.
    pub(crate) async fn get(&self, keys: &[Key]) -> Reply<Read> {
        let (interval, result) = self.recorder.time(self.driver.get(keys)).await;
        let reply = Reply::of(result.map_err(Error::of_read), |snapshot| Read {
            revision: snapshot.revision,
            entries: snapshot.entries.into_iter().map(|entry| entry.map(Seen::from)).collect(),
        });
        self.recorder.add(self.number, interval, Event::Get { keys: keys.to_vec(), reply: reply.clone() });
        reply
    }

    /// Commits a transaction, or sends it again.
    pub(crate) async fn commit(&self, mut transaction: Txn, id: Option<TransactionId>) -> Reply<Decision> {
        transaction.id = id.map(|id| id.to_string());
        let sent = transaction.to_core(id);
        let (interval, result) = self.recorder.time(self.driver.commit(&sent)).await;
        let reply = Reply::of(result, Decision::from);
        self.recorder.add(self.number, interval, Event::Commit { transaction, reply: reply.clone() });
        reply
    }

    /// Appends records of these payloads; whether that was answered.
    pub(crate) async fn append(&self, stream: &StreamName, payloads: Vec<String>) -> bool {
        let records: Vec<_> = payloads.iter().cloned().map(Record::new).collect();
        let (interval, result) = self.recorder.time(self.driver.append(stream, &records)).await;
        let reply = Reply::of(result, |appended| appended);
        let answered = reply.answer().is_some();
        let stream = stream.as_str().to_owned();
        self.recorder.add(self.number, interval, Event::Append { stream, payloads, reply });
        answered
    }

    /// Claims records.
    pub(crate) async fn claim(&self, claim: &Claim) -> Reply<Vec<Delivered>> {
        let (interval, result) = self.recorder.time(self.driver.claim(claim)).await;
        let reply = Reply::of(result, |deliveries| {
            let delivered = |delivery: linchpin_core::Delivery| Delivered {
                position: delivery.receipt.position.0,
                delivery: delivery.receipt.delivery,
                payload: String::from_utf8_lossy(&delivery.payload).into_owned(),
            };
            deliveries.into_iter().map(delivered).collect()
        });
        let event = Event::Claim {
            stream: claim.stream.as_str().to_owned(),
            group: claim.group.as_str().to_owned(),
            member: claim.member.as_str().to_owned(),
            max: claim.max,
            visibility: nanos(claim.visibility),
            reply: reply.clone(),
        };
        self.recorder.add(self.number, interval, event);
        reply
    }

    /// Settles deliveries of one group.
    pub(crate) async fn settle(&self, queue: &Queue, settlements: Vec<Receipted>) -> Reply<Vec<Settled>> {
        let settlement = |receipted: &Receipted| Settlement {
            receipt: Receipt {
                stream: queue.stream.clone(),
                group: queue.group.clone(),
                position: Position(receipted.position),
                delivery: receipted.delivery,
            },
            action: match receipted.verdict {
                Verdict::Ack => Action::Ack,
                Verdict::Retry { after } => Action::Retry { after: Duration::from_nanos(after) },
            },
        };
        let sent: Vec<_> = settlements.iter().map(settlement).collect();
        let (interval, result) = self.recorder.time(self.driver.settle(&sent)).await;
        let reply = Reply::of(result, |settled| settled);
        let (stream, group) = (queue.stream.as_str().to_owned(), queue.group.as_str().to_owned());
        let event = Event::Settle { stream, group, settlements, reply: reply.clone() };
        self.recorder.add(self.number, interval, event);
        reply
    }
}
