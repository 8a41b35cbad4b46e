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
pub(crate) struct Enclosed {
    /// Which of the author's commands it is.
    pub(crate) sequence: u64,
    /// It counts for nothing once the clock is past this. None: it does the same whenever and however often it comes.
    pub(crate) not_after: Option<Time>,
    pub(crate) part: Part,
    /// The command as it is encoded, or this part of it.
    pub(crate) body: Bytes,
}

impl Enclosed {
    /// What it takes besides its body.
    const HEADER: usize = 2 * 8 + 3 * 4;

    pub(crate) fn len(&self) -> usize {
        Self::HEADER + self.body.len()
    }
}

/// A record of the log: commands of an author, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Envelope {
    pub(crate) author: Author,
    /// The author knows what became of its commands up to this one, or does not care any more.
    pub(crate) done: u64,
    /// What the author had read.
    pub(crate) read: Mark,
    pub(crate) commands: Vec<Enclosed>,
}

/// What every record of ours begins with.
const MAGIC: &[u8] = b"linchpin";

/// The version of the form that this build writes, and the only one that it reads.
pub(crate) const VERSION: u8 = 1;

impl Envelope {
    const HEADER: usize = 16 + 3 * 8;

    /// What a record takes besides its commands.
    pub(crate) const OVERHEAD: usize = MAGIC.len() + 1 + Self::HEADER;

    pub(crate) fn encode(&self) -> Bytes {
        let length = Self::OVERHEAD + self.commands.iter().map(Enclosed::len).sum::<usize>();
        let mut bytes = BytesMut::with_capacity(length);
        bytes.put_slice(MAGIC);
        bytes.put_u8(VERSION);
        bytes.put_u128(self.author.0);
        bytes.put_u64(self.done);
        bytes.put_u64(self.read.offset);
        bytes.put_u64(self.read.hash);
        for Enclosed { sequence, not_after, part, body } in &self.commands {
            bytes.put_u64(*sequence);
            bytes.put_u64(not_after.map_or(u64::MAX, Time::as_micros));
            bytes.put_u32(part.number);
            bytes.put_u32(part.of);
            bytes.put_u32(u32::try_from(body.len()).unwrap_or(u32::MAX));
            bytes.put_slice(body);
        }
        bytes.freeze()
    }

    /// The records in which it stands, each of so many bytes at most: several, if it has a single command that is larger.
    pub(crate) fn into_records(mut self, most: usize) -> Vec<Bytes> {
        let room = most.saturating_sub(Self::OVERHEAD + Enclosed::HEADER).max(1);
        match &mut self.commands[..] {
            [large] if large.body.len() > room => {
                let body = std::mem::take(&mut large.body);
                let of = u32::try_from(body.len().div_ceil(room)).unwrap_or(u32::MAX);
                let parts = (0..body.len()).step_by(room).map(|from| body.slice(from..body.len().min(from + room)));
                let record = |(number, part)| {
                    (self.commands[0].part, self.commands[0].body) = (Part { number, of }, part);
                    self.encode()
                };
                (0..).zip(parts).map(record).collect()
            }
            _ => vec![self.encode()],
        }
    }

    /// None if it is no record of ours, or damaged: nobody counts it.
    ///
    /// # Errors
    /// `Unsupported` if it is of another version: others count it, and we cannot.
    pub(crate) fn decode(record: &Bytes) -> Result<Option<Self>> {
        let mut rest = record.clone();
        if !rest.starts_with(MAGIC) {
            return Ok(None);
        }
        rest.advance(MAGIC.len());
        match rest.try_get_u8() {
            Ok(VERSION) => Ok(Self::decode_body(rest)),
            Ok(version) => Err(other_version(version)),
            Err(_) => Ok(None),
        }
    }

    fn decode_body(mut rest: Bytes) -> Option<Self> {
        if rest.len() < Self::HEADER {
            return None;
        }
        let (author, done) = (Author(rest.get_u128()), rest.get_u64());
        let read = Mark { offset: rest.get_u64(), hash: rest.get_u64() };
        let mut commands = Vec::new();
        while !rest.is_empty() {
            if rest.len() < Enclosed::HEADER {
                return None;
            }
            let sequence = rest.get_u64();
            let not_after = Some(rest.get_u64()).filter(|micros| *micros != u64::MAX).map(Time::from_micros);
            let part = Part { number: rest.get_u32(), of: rest.get_u32() };
            let length = rest.get_u32() as usize;
            if rest.len() < length || part.number >= part.of || part.of > Part::MOST {
                return None;
            }
            commands.push(Enclosed { sequence, not_after, part, body: rest.split_to(length) });
        }
        Some(Self { author, done, read, commands })
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

    fn command(sequence: u64, not_after: Option<u64>) -> Enclosed {
        let not_after = not_after.map(Time::from_micros);
        Enclosed { sequence, not_after, part: Part::WHOLE, body: format!("command {sequence}").into() }
    }

    fn envelope(commands: Vec<Enclosed>) -> Envelope {
        Envelope { author: Author::random(), done: 2, read: Mark { offset: 7, hash: 1 << 63 }, commands }
    }

    #[test]
    fn what_is_written_is_read() {
        for commands in
            [vec![], vec![command(3, None)], vec![command(3, Some(5)), command(9, None), command(4, Some(1))]]
        {
            let written = envelope(commands);
            assert_eq!(written.clone().into_records(1 << 20), [written.encode()]);
            assert_eq!(Envelope::decode(&written.encode()).expect("of ours"), Some(written));
        }
    }

    #[test]
    fn what_is_larger_than_a_record_stands_in_several() {
        let whole = envelope(vec![command(3, None)]);
        let body = whole.commands[0].body.clone();
        let overhead = whole.encode().len() - body.len();
        for most in [overhead + 1, overhead + 4, overhead + 9, 1 << 20] {
            let records = whole.clone().into_records(most);
            assert!(records.iter().all(|record| record.len() <= most), "records of {most} bytes");
            let parts = records.iter().map(|record| Envelope::decode(record).expect("ours").expect("ours"));
            let parts: Vec<_> = parts.map(|mut part| part.commands.remove(0)).collect();
            let numbered = parts.iter().zip(0..).all(|(part, number)| part.part.number == number);
            assert!(numbered && parts.iter().all(|part| part.part.of as usize == parts.len()));
            assert_eq!(parts.iter().flat_map(|part| part.body.to_vec()).collect::<Vec<_>>(), body);
        }
    }

    #[test]
    fn what_is_not_ours_counts_for_nothing_and_what_is_newer_is_told() {
        let ours = envelope(vec![command(3, None)]).encode();
        let cut = &ours[..ours.len() - 1];
        for foreign in [&b""[..], b"linchpin", b"hello", &ours[..20], &ours[1..], cut, &[&ours[..], b"x"].concat()] {
            assert_eq!(Envelope::decode(&foreign.to_vec().into()).expect("nothing"), None);
        }
        for part in [Part { number: 1, of: 1 }, Part { number: 0, of: 0 }, Part { number: 0, of: u32::MAX }] {
            let foreign = envelope(vec![Enclosed { part, ..command(3, None) }]);
            assert_eq!(Envelope::decode(&foreign.encode()).expect("nothing"), None);
        }
        let mut newer = ours.to_vec();
        newer[MAGIC.len()] = VERSION + 1;
        let error = Envelope::decode(&newer.into()).expect_err("of another build");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
}
