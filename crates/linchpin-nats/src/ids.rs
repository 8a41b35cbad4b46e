//! What is remembered of transactions that have an id.
//!
//! The server refuses a second message of the same id for a while, but does not say what became of the first, and
//! forgets ids of messages that are gone when it is restarted. So a key's message lists the transactions that wrote the
//! key lately, and an outcome that wrote no key, or several, has a message of its own.

use crate::codec::{IDS, Stored, Time, last};
use crate::names::{name_of_token, token};
use async_nats::HeaderMap;
use bytes::Bytes;
use linchpin_adapter::decide::{Failure, Problem};
use linchpin_core::{
    Entry, Error, ErrorKind, Key, MutationResult, Outcome, Result, Revision, Transaction, TransactionId,
};
use std::time::Duration;

/// For how long a transaction's id is remembered.
pub(crate) const ID_WINDOW: Duration = Duration::from_mins(1);

/// How many of its own transactions that are answered a handle lists.
const OWN: usize = 4;
/// How many are listed in all.
const ALL: usize = 128;

/// The header of a message that holds an outcome.
const OUTCOME: &str = "Linchpin-Outcome";

/// A transaction that wrote a key. In the message that it wrote, its revision, its time and what came to be with it are
/// written as 0: they are known once it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remembered {
    pub(crate) id: TransactionId,
    pub(crate) fingerprint: u64,
    /// Which handle sent it.
    pub(crate) writer: u32,
    pub(crate) at: Time,
    pub(crate) revision: Revision,
    pub(crate) result: MutationResult,
}

impl Remembered {
    fn write(&self) -> String {
        let Self { id, fingerprint, writer, at, revision, result } = self;
        // The message's own id is in a header of its own.
        let id = if revision.0 == 0 { String::new() } else { id.to_string() };
        format!("{id}.{fingerprint:x}.{writer:x}.{:x}.{:x}.{}", at.0, revision.0, write_result(result))
    }

    fn read(text: &str, own: &str, version: Revision, time: Time) -> Option<Self> {
        let mut parts = text.split('.');
        let id = parts.next().map(|id| if id.is_empty() { own } else { id })?;
        let id = TransactionId(u128::from_str_radix(id, 16).ok()?);
        let mut number = || u64::from_str_radix(parts.next()?, 16).ok();
        let (fingerprint, writer, at, revision) = (number()?, number()?, number()?, number()?);
        let revision = if revision == 0 { version } else { Revision(revision) };
        Some(Self {
            id,
            fingerprint,
            writer: u32::try_from(writer).ok()?,
            at: if at == 0 { time } else { Time(at) },
            revision,
            result: read_result(parts.next()?, revision)?,
        })
    }

    pub(crate) fn outcome(&self) -> Outcome {
        Outcome::Committed { revision: self.revision, results: vec![self.result] }
    }
}

/// Reads which transactions a key's message lists.
pub(crate) fn read_list(headers: &HeaderMap, version: Revision, time: Time) -> Vec<Remembered> {
    let own = last(headers, "Nats-Msg-Id").unwrap_or_default();
    let list = last(headers, IDS).unwrap_or_default();
    list.split(',').filter_map(|text| Remembered::read(text, own, version, time)).collect()
}

/// The list for the next message: what came before, as far as it may still be asked for, and the new one.
pub(crate) fn next_list(before: &[Remembered], new: Option<Remembered>, now: Time) -> Vec<Remembered> {
    let young = before.iter().filter(|one| now.since(one.at) < ID_WINDOW).cloned();
    let mut kept: Vec<_> = young.chain(new).collect();
    kept.drain(..kept.len().saturating_sub(ALL));
    kept
}

/// Splits a list that has become long into what stays in it, and what a message of its own is to keep: this handle's
/// that were answered. Somebody may ask for those too, but not to be sure that they are not applied again.
pub(crate) fn split_list(
    list: &[Remembered],
    now: Time,
    is_own_and_answered: impl Fn(&Remembered) -> bool,
) -> Option<(Vec<Remembered>, Vec<Remembered>)> {
    let young = list.iter().filter(|one| now.since(one.at) < ID_WINDOW).cloned();
    let (answered, rest): (Vec<_>, Vec<_>) = young.partition(is_own_and_answered);
    (answered.len() > OWN).then_some((rest, answered))
}

pub(crate) fn write_list(list: &[Remembered]) -> Option<String> {
    (!list.is_empty()).then(|| list.iter().map(Remembered::write).collect::<Vec<_>>().join(","))
}

fn write_result(result: &MutationResult) -> String {
    let seconds = |ttl: &Option<Duration>| ttl.map_or_else(|| "-".to_owned(), |ttl| ttl.as_secs().to_string());
    match result {
        MutationResult::Put { created, ttl } => format!("p{}:{}", created.0, seconds(ttl)),
        MutationResult::Deleted { existed } => format!("d{}", u8::from(*existed)),
        MutationResult::Added { value } => format!("a{value}"),
        MutationResult::Extended { ttl } => format!("e{}", seconds(ttl)),
    }
}

fn read_result(text: &str, revision: Revision) -> Option<MutationResult> {
    let seconds = |text: &str| match text {
        "-" => Some(None),
        text => text.parse().ok().map(|seconds| Some(Duration::from_secs(seconds))),
    };
    let (kind, rest) = text.split_at_checked(1)?;
    Some(match kind {
        "p" => {
            let (created, ttl) = rest.split_once(':')?;
            let created = created.parse().ok().filter(|created| *created != 0).map_or(revision, Revision);
            MutationResult::Put { created, ttl: seconds(ttl)? }
        }
        "d" => MutationResult::Deleted { existed: rest == "1" },
        "a" => MutationResult::Added { value: rest.parse().ok()? },
        "e" => MutationResult::Extended { ttl: seconds(rest)? },
        _ => return None,
    })
}

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decided {
    Outcome(Outcome),
    /// The mutation of this index cannot be applied.
    Conflict(usize, Problem),
}

impl Decided {
    pub(crate) fn into_result(self, transaction: &Transaction) -> Result<Outcome> {
        match self {
            Self::Outcome(outcome) => Ok(outcome),
            Self::Conflict(index, problem) => Err(Failure::of(transaction, Some(index), problem)),
        }
    }
}

/// The error where a transaction was applied, but what it answered is not known any more.
pub(crate) fn forgotten(revision: u64) -> Error {
    let problem = format!(
        "a transaction with this id was applied at revision {revision} and not again now; what it answered is no longer \
         known"
    );
    // It may not be repeated, and it was applied.
    Error::new(ErrorKind::Conflict, "commit", problem).for_good()
}

/// Writes an outcome into the header and payload of a message. A revision of 0 is that of the message.
pub(crate) fn write_outcome(headers: &mut HeaderMap, fingerprint: u64, decided: &Decided) -> Bytes {
    let mut payload = Bytes::new();
    let text = match decided {
        Decided::Outcome(Outcome::Committed { revision, results }) => {
            let results: Vec<_> = results.iter().map(write_result).collect();
            format!("c {} {}", revision.0, results.join(","))
        }
        Decided::Outcome(Outcome::Refused { guard, found, revision }) => match found {
            None => format!("r {} {guard}", revision.0),
            Some(Entry { key, value, created, version, ttl }) => {
                payload = value.clone();
                let ttl = ttl.map_or_else(|| "-".to_owned(), |ttl| ttl.as_micros().to_string());
                format!("r {} {guard} {} {} {ttl} {}", revision.0, created.0, version.0, token(key.as_str()))
            }
        },
        Decided::Conflict(index, problem) => format!("x {index} {}", u8::from(*problem == Problem::Overflow)),
    };
    headers.insert(OUTCOME, format!("{fingerprint:x} {text}").as_str());
    payload
}

/// Reads the outcome that a message holds, and the fingerprint of the transaction that it is of.
pub(crate) fn read_outcome(message: &Stored, version: Revision) -> Result<Option<(u64, Decided)>> {
    let Some(text) = last(&message.headers, OUTCOME) else { return Ok(None) };
    let read = || {
        let mut parts = text.split(' ');
        let fingerprint = u64::from_str_radix(parts.next()?, 16).ok()?;
        let kind = parts.next()?;
        if kind == "x" {
            let problem = |text| if text == "1" { Problem::Overflow } else { Problem::NoCounter };
            return Some((fingerprint, Decided::Conflict(parts.next()?.parse().ok()?, problem(parts.next()?))));
        }
        let revision = parts.next()?.parse().ok().filter(|revision| *revision != 0).map_or(version, Revision);
        if kind == "c" {
            let results = parts.next().unwrap_or_default().split(',').filter(|text| !text.is_empty());
            let results = results.map(|text| read_result(text, revision)).collect::<Option<_>>()?;
            return Some((fingerprint, Decided::Outcome(Outcome::Committed { revision, results })));
        }
        let guard = parts.next()?.parse().ok()?;
        let found = match parts.next() {
            None => None,
            Some(created) => Some(Entry {
                created: Revision(created.parse().ok()?),
                version: Revision(parts.next()?.parse().ok()?),
                ttl: match parts.next()? {
                    "-" => None,
                    micros => Some(Duration::from_micros(micros.parse().ok()?)),
                },
                key: Key::stored(name_of_token(parts.next()?)?).ok()?,
                value: message.payload.clone(),
            }),
        };
        Some((fingerprint, Decided::Outcome(Outcome::Refused { guard, found, revision })))
    };
    read().map(Some).ok_or_else(|| Error::unreadable("commit", "an outcome"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(id: u128, writer: u32, at: u64) -> Remembered {
        let result = MutationResult::Put { created: Revision(3), ttl: Some(Duration::from_secs(9)) };
        Remembered { id: TransactionId(id), fingerprint: 7, writer, at: Time(at), revision: Revision(5), result }
    }

    #[test]
    fn a_list_comes_back_and_what_is_its_own_is_filled_in() {
        let own = Remembered {
            at: Time(0),
            revision: Revision(0),
            result: MutationResult::Put { created: Revision(0), ttl: None },
            ..one(u128::MAX, 2, 0)
        };
        let results = [MutationResult::Added { value: -7 }, MutationResult::Deleted { existed: true }];
        let mut list = vec![one(1, 1, 11), own.clone()];
        list.extend(results.map(|result| Remembered { result, ..one(2, 3, 12) }));
        let mut headers = HeaderMap::new();
        headers.insert(IDS, write_list(&list).expect("some").as_str());
        headers.insert("Nats-Msg-Id", own.id.to_string().as_str());
        list[1] = Remembered {
            at: Time(99),
            revision: Revision(50),
            result: MutationResult::Put { created: Revision(50), ttl: None },
            ..own
        };
        assert_eq!(read_list(&headers, Revision(50), Time(99)), list);
        assert_eq!(read_list(&HeaderMap::new(), Revision(50), Time(99)), []);
    }

    #[test]
    fn a_list_keeps_what_is_young_and_a_long_one_is_split() {
        let list: Vec<_> = (0..12).map(|n| one(n, u32::from(n % 2 == 0), 1_000_000)).collect();
        let now = Time(2_000_000);
        assert_eq!(next_list(&list, Some(one(99, 1, 0)), now).len(), 13);
        let late = Time(1_000_000).after(ID_WINDOW);
        assert_eq!(next_list(&list, Some(one(99, 1, 0)), late).len(), 1, "only the new one");
        let many: Vec<_> = (0..200).map(|n| one(n, 1, 1_000_000)).collect();
        assert_eq!(next_list(&many, None, now).first().map(|one| one.id.0), Some(72), "the newest");

        let open = TransactionId(0);
        let (rest, answered) = split_list(&list, now, |one| one.writer == 1 && one.id != open).expect("it is long");
        let ids = |list: &[Remembered]| list.iter().map(|one| one.id.0).collect::<Vec<_>>();
        assert_eq!((ids(&rest), ids(&answered)), (vec![0, 1, 3, 5, 7, 9, 11], vec![2, 4, 6, 8, 10]));
        assert!(split_list(&list[..8], now, |one| one.writer == 1).is_none(), "it is short");
    }

    #[test]
    fn every_outcome_comes_back() {
        let entry = Entry {
            key: Key::new("a/b c").expect("valid"),
            value: Bytes::from_static(b"v"),
            created: Revision(1),
            version: Revision(2),
            ttl: Some(Duration::from_micros(1_500_001)),
        };
        let results =
            vec![MutationResult::Extended { ttl: None }, MutationResult::Put { created: Revision(4), ttl: None }];
        for decided in [
            Decided::Outcome(Outcome::Committed { revision: Revision(9), results }),
            Decided::Outcome(Outcome::Committed { revision: Revision(9), results: Vec::new() }),
            Decided::Outcome(Outcome::Refused { guard: 3, found: Some(entry), revision: Revision(8) }),
            Decided::Outcome(Outcome::Refused { guard: 0, found: None, revision: Revision(8) }),
            Decided::Conflict(2, Problem::Overflow),
            Decided::Conflict(0, Problem::NoCounter),
        ] {
            let mut headers = HeaderMap::new();
            let payload = write_outcome(&mut headers, 0xfe, &decided);
            let (subject, time) = (String::new(), Time(0));
            let headers = std::sync::Arc::new(headers);
            let message = Stored { subject, sequence: 12, time, headers, payload };
            assert_eq!(read_outcome(&message, Revision(12)).expect("reads"), Some((0xfe, decided)));
        }
    }
}
