//! What a record of the log has in it: a command, whose it is, and by what it is known again.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use linchpin_core::{Error, ErrorKind, Result};
use linchpin_machine::Time;
use serde::{Deserialize, Serialize};

/// Who appends: a client, from its start to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Author(pub(crate) u128);

impl Author {
    /// One that nobody was before.
    pub(crate) fn random() -> Self {
        Self(fastrand::u128(..))
    }
}

/// What the records before an offset come to, in a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) offset: u64,
    pub(crate) hash: u64,
}

/// Which part of a command a record has: one that is larger than a record may be stands in several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) number: u32,
    pub(crate) of: u32,
}

impl Part {
    /// All of a command.
    pub(crate) const WHOLE: Self = Self { number: 0, of: 1 };

    /// More of them are none of ours.
    const MOST: u32 = 1024;
}

/// A command as it stands in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Envelope {
    pub(crate) author: Author,
    /// Which of the author's commands it is.
    pub(crate) sequence: u64,
    /// The author knows what became of its commands up to this one, or does not care any more.
    pub(crate) done: u64,
    /// It counts for nothing once the clock is past this. None: it does the same whenever and however often it comes.
    pub(crate) not_after: Option<Time>,
    /// What the author had read.
    pub(crate) read: Mark,
    pub(crate) part: Part,
    /// The command as it is encoded, or this part of it.
    pub(crate) body: Bytes,
}

/// What every record of ours begins with.
const MAGIC: &[u8] = b"linchpin";

/// The version of the form that this build writes, and the only one that it reads.
pub(crate) const VERSION: u8 = 1;

const HEADER: usize = 16 + 5 * 8 + 2 * 4;

impl Envelope {
    pub(crate) fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(MAGIC.len() + 1 + HEADER + self.body.len());
        bytes.put_slice(MAGIC);
        bytes.put_u8(VERSION);
        bytes.put_u128(self.author.0);
        bytes.put_u64(self.sequence);
        bytes.put_u64(self.done);
        bytes.put_u64(self.not_after.map_or(u64::MAX, Time::as_micros));
        bytes.put_u64(self.read.offset);
        bytes.put_u64(self.read.hash);
        bytes.put_u32(self.part.number);
        bytes.put_u32(self.part.of);
        bytes.put_slice(&self.body);
        bytes.freeze()
    }

    /// The records in which it stands, each of so many bytes at most.
    pub(crate) fn into_records(mut self, most: usize) -> Vec<Bytes> {
        let room = most.saturating_sub(MAGIC.len() + 1 + HEADER).max(1);
        let body = std::mem::take(&mut self.body);
        let of = u32::try_from(body.len().div_ceil(room)).unwrap_or(u32::MAX);
        let part = |number: u32| {
            let from = number as usize * room;
            let body = body.slice(from..body.len().min(from + room));
            Self { part: Part { number, of }, body, ..self }.encode()
        };
        (0..of).map(part).collect()
    }

    /// None if it is no record of ours, or damaged: nobody counts it.
    ///
    /// # Errors
    /// `Unsupported` if it is of another version: others count it, and we cannot.
    pub(crate) fn decode(record: &Bytes) -> Result<Option<Self>> {
        let Some(mut rest) = record.strip_prefix(MAGIC) else { return Ok(None) };
        match rest.try_get_u8() {
            Ok(VERSION) => {}
            Ok(version) => return Err(other_version(version)),
            Err(_) => return Ok(None),
        }
        if rest.len() < HEADER {
            return Ok(None);
        }
        let author = Author(rest.get_u128());
        let (sequence, done) = (rest.get_u64(), rest.get_u64());
        let not_after = Some(rest.get_u64()).filter(|micros| *micros != u64::MAX).map(Time::from_micros);
        let read = Mark { offset: rest.get_u64(), hash: rest.get_u64() };
        let part = Part { number: rest.get_u32(), of: rest.get_u32() };
        let body = record.slice(record.len() - rest.len()..);
        let is_ours = part.number < part.of && part.of <= Part::MOST;
        Ok(is_ours.then_some(Self { author, sequence, done, not_after, read, part, body }))
    }
}

fn other_version(version: u8) -> Error {
    let problem = format!(
        "the log has a record of version {version}, and this build reads version {VERSION}: use one that fits it"
    );
    Error::new(ErrorKind::Unsupported, "read", problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(not_after: Option<Time>) -> Envelope {
        let (read, body) = (Mark { offset: 7, hash: 1 << 63 }, "a command".into());
        Envelope { author: Author::random(), sequence: 3, done: 2, not_after, read, part: Part::WHOLE, body }
    }

    #[test]
    fn what_is_written_is_read() {
        for not_after in [None, Some(Time::from_micros(5))] {
            let written = envelope(not_after);
            assert_eq!(Envelope::decode(&written.encode()).expect("of ours"), Some(written));
        }
    }

    #[test]
    fn what_is_larger_than_a_record_stands_in_several() {
        let whole = envelope(None);
        let overhead = whole.encode().len() - whole.body.len();
        for most in [overhead + 1, overhead + 4, overhead + 9, 1 << 20] {
            let records = whole.clone().into_records(most);
            assert!(records.iter().all(|record| record.len() <= most), "records of {most} bytes");
            let parts: Vec<_> =
                records.iter().map(|record| Envelope::decode(record).expect("ours").expect("ours")).collect();
            let numbered = parts.iter().zip(0..).all(|(part, number)| part.part.number == number);
            assert!(numbered && parts.iter().all(|part| part.part.of as usize == parts.len()));
            assert_eq!(parts.iter().flat_map(|part| part.body.to_vec()).collect::<Vec<_>>(), &whole.body[..]);
        }
    }

    #[test]
    fn what_is_not_ours_counts_for_nothing_and_what_is_newer_is_told() {
        let ours = envelope(None).encode();
        for foreign in [&b""[..], b"linchpin", b"hello", &ours[..20], &ours[1..]] {
            assert_eq!(Envelope::decode(&foreign.to_vec().into()).expect("nothing"), None);
        }
        for part in [Part { number: 1, of: 1 }, Part { number: 0, of: 0 }, Part { number: 0, of: u32::MAX }] {
            let foreign = Envelope { part, ..envelope(None) };
            assert_eq!(Envelope::decode(&foreign.encode()).expect("nothing"), None);
        }
        let mut newer = ours.to_vec();
        newer[MAGIC.len()] = VERSION + 1;
        let error = Envelope::decode(&newer.into()).expect_err("of another build");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
}
