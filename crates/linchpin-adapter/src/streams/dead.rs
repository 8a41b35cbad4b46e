//! Dead letters that a transaction writes.

use super::append::Tail;
use super::{Book, KeySpace};
use crate::records::{self, Death};
use linchpin_core::{GroupName, Record, Result, StreamName, Transaction};
use std::collections::BTreeMap;

/// The ends of the dead letters, with what is put there.
#[derive(Default)]
pub(super) struct DeadLetters {
    tails: BTreeMap<StreamName, Tail>,
    /// What was put there, in bytes.
    pub(super) bytes: usize,
}

impl DeadLetters {
    /// Puts a record of a group there. There are no dead letters of dead letters: whoever works those off and rejects one is
    /// done with it.
    pub(super) async fn bury<K: KeySpace>(
        &mut self,
        book: &Book<K>,
        mut transaction: Transaction,
        (stream, group): (&StreamName, &GroupName),
        record: Record,
        death: Death<'_>,
    ) -> Result<Transaction> {
        if stream.dead_letters_of().is_some() {
            return Ok(transaction);
        }
        let name = stream.dead_letters(group);
        let mut tail = if let Some(tail) = self.tails.remove(&name) {
            tail
        } else {
            let tail = book.tail(&name).await?;
            transaction = tail.begin(transaction)?;
            tail
        };
        let record = Record { headers: death.told(record.headers), ..record };
        let encoded = records::encode(&record);
        self.bytes += encoded.len();
        (transaction, _) = tail.push(transaction, encoded.into(), None)?;
        self.tails.insert(name, tail);
        Ok(transaction)
    }

    /// In how many streams there are some.
    pub(super) fn streams(&self) -> usize {
        self.tails.len()
    }

    /// Whether there are some in this stream.
    pub(super) fn are_in(&self, stream: &StreamName) -> bool {
        self.tails.contains_key(stream)
    }

    /// Tells everybody.
    pub(super) fn end(&self, transaction: Transaction) -> Result<Transaction> {
        self.tails.values().try_fold(transaction, |transaction, tail| tail.end(transaction))
    }
}
