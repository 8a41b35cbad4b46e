//! What a record of the log has in it: a command, whose it is, and by what it is known again.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use linchpin_core::{Error, ErrorKind, Result};
use linchpin_machine::{Command, Time};
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

/// A command as it stands in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Envelope<C = Command> {
    pub(crate) author: Author,
    /// Which of the author's commands it is.
    pub(crate) sequence: u64,
    /// The author knows what became of its commands up to this one, or does not care any more.
    pub(crate) done: u64,
    /// It counts for nothing once the clock is past this. None: it does the same whenever and however often it comes.
    pub(crate) not_after: Option<Time>,
    /// What the author had read.
    pub(crate) read: Mark,
    pub(crate) command: C,
}

/// What every record of ours begins with.
const MAGIC: &[u8] = b"linchpin";

/// The version of the form that this build writes, and the only one that it reads.
pub(crate) const VERSION: u8 = 1;

const HEADER: usize = 16 + 5 * 8;

impl Envelope<&[u8]> {
    /// Of a command that has been encoded.
    pub(crate) fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(MAGIC.len() + 1 + HEADER + self.command.len());
        bytes.put_slice(MAGIC);
        bytes.put_u8(VERSION);
        bytes.put_u128(self.author.0);
        bytes.put_u64(self.sequence);
        bytes.put_u64(self.done);
        bytes.put_u64(self.not_after.map_or(u64::MAX, Time::as_micros));
        bytes.put_u64(self.read.offset);
        bytes.put_u64(self.read.hash);
        bytes.put_slice(self.command);
        bytes.freeze()
    }
}

#[cfg(test)]
impl Envelope {
    pub(crate) fn encoded(&self) -> Bytes {
        let Self { author, sequence, done, not_after, read, ref command } = *self;
        let command = &command.encode().expect("encodes")[..];
        Envelope { author, sequence, done, not_after, read, command }.encode()
    }
}

impl Envelope {
    /// None if it is no record of ours, or damaged: nobody counts it.
    ///
    /// # Errors
    /// `Unsupported` if it is of another version: others count it, and we cannot.
    pub(crate) fn decode(mut body: &[u8]) -> Result<Option<Self>> {
        let Some(rest) = body.strip_prefix(MAGIC) else { return Ok(None) };
        body = rest;
        match body.try_get_u8() {
            Ok(VERSION) => {}
            Ok(version) => return Err(other_version(version)),
            Err(_) => return Ok(None),
        }
        if body.len() < HEADER {
            return Ok(None);
        }
        let author = Author(body.get_u128());
        let (sequence, done) = (body.get_u64(), body.get_u64());
        let not_after = Some(body.get_u64()).filter(|micros| *micros != u64::MAX).map(Time::from_micros);
        let read = Mark { offset: body.get_u64(), hash: body.get_u64() };
        match Command::decode(body) {
            Ok(command) => Ok(Some(Self { author, sequence, done, not_after, read, command })),
            Err(error) if error.kind() == ErrorKind::Unsupported => Err(error),
            Err(_) => Ok(None),
        }
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
        let read = Mark { offset: 7, hash: 1 << 63 };
        Envelope { author: Author::random(), sequence: 3, done: 2, not_after, read, command: Command::Tick }
    }

    #[test]
    fn what_is_written_is_read() {
        for not_after in [None, Some(Time::from_micros(5))] {
            let written = envelope(not_after);
            assert_eq!(Envelope::decode(&written.encoded()).expect("of ours"), Some(written));
        }
    }

    #[test]
    fn what_is_not_ours_counts_for_nothing_and_what_is_newer_is_told() {
        let ours = envelope(None).encoded();
        for foreign in [&b""[..], b"linchpin", b"hello", &ours[..ours.len() - 1], &ours[..20], &ours[1..]] {
            assert_eq!(Envelope::decode(foreign).expect("nothing"), None);
        }
        let mut newer = ours.to_vec();
        newer[MAGIC.len()] = VERSION + 1;
        let error = Envelope::decode(&newer).expect_err("of another build");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        let position = ours.windows(10).position(|window| window == b"\"version\":").expect("the command's");
        let mut newer = ours.to_vec();
        newer[position + 10] = b'9';
        assert_eq!(Envelope::decode(&newer).expect_err("of another build").kind(), ErrorKind::Unsupported);
    }
}
