//! What the records of a log come to: the same for everybody who applies them in their order.

use crate::envelope::{Author, Enclosed, Envelope, Mark};
use crate::log::LogRecord;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use linchpin_core::{Error, ErrorKind, Result};
use linchpin_machine::{Command, Effects, Machine, Reply, Snapshot, Time};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashSet, VecDeque};

/// How many marks are known, by which it is seen that another client came to something else.
const MARKS: usize = 1024;

/// How often those authors are forgotten whose commands count no more, in records.
const FORGETS: u64 = 256;

/// The log's clock, made to run on: where it steps back time stands still for a moment, and goes on as it does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Clock {
    /// What the log said last.
    told: Time,
    /// By how much we are ahead of it, in microseconds.
    ahead: u64,
}

impl Clock {
    fn tell(&mut self, told: Time) -> Time {
        if told < self.told {
            self.ahead = self.ahead.saturating_add(self.told.as_micros() - told.as_micros());
        }
        self.told = told;
        self.now()
    }

    fn now(self) -> Time {
        Time::from_micros(self.told.as_micros().saturating_add(self.ahead))
    }
}

/// Which commands of an author were applied.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Applied {
    /// None up to this one counts any more.
    done: u64,
    /// What those after it came to; nothing, if that was an error.
    after: BTreeMap<u64, Option<Reply>>,
    /// None of them counts after this.
    until: Time,
    /// What has come of those of which parts are missing.
    parts: BTreeMap<u64, BTreeMap<u32, Bytes>>,
}

impl Applied {
    /// Whether the command counts: it does once.
    fn counts(&mut self, sequence: u64, not_after: Time) -> bool {
        self.until = self.until.max(not_after);
        sequence > self.done && !self.after.contains_key(&sequence)
    }

    /// None up to this one counts any more.
    fn is_done(&mut self, done: u64) {
        if done > self.done {
            self.done = done;
            self.after = self.after.split_off(&(done + 1));
            self.parts = self.parts.split_off(&(done + 1));
        }
    }

    /// Keeps a part until all are there.
    fn gather(&mut self, command: &Enclosed) {
        self.parts.entry(command.sequence).or_default().insert(command.part.number, command.body.clone());
    }
}

/// What all records before an offset come to.
pub(crate) struct Replica {
    /// Of which log.
    log: u64,
    pub(crate) machine: Machine,
    clock: Clock,
    authors: BTreeMap<Author, Applied>,
    next: u64,
    hash: u64,
    /// Of the last records, in their order.
    marks: VecDeque<Mark>,
    /// Who came to something else than the log says, read from its beginning.
    distrusted: HashSet<Author>,
}

/// A replica as it is written down.
#[derive(Serialize, Deserialize)]
struct Stored {
    log: u64,
    clock: Clock,
    authors: BTreeMap<Author, Applied>,
    next: u64,
    hash: u64,
}

/// What became of a command of a record.
pub(crate) struct Taken {
    pub(crate) author: Author,
    pub(crate) sequence: u64,
    pub(crate) verdict: Verdict,
}

pub(crate) enum Verdict {
    Applied(Effects<Result<Reply>>),
    /// It came too late, and so did nothing.
    Late,
    /// It had been applied before, or is damaged.
    Nothing,
}

/// Why a record cannot be applied.
#[derive(Debug)]
pub(crate) enum Fault {
    /// It is not the next one.
    Gap,
    /// Its author came to something else.
    Diverged(Author),
    /// Another build wrote it, which knows more.
    Unknown(Error),
}

impl Replica {
    /// Of a log from whose beginning on all is there.
    pub(crate) fn new(log: u64) -> Self {
        Self {
            log,
            machine: Machine::new(),
            clock: Clock::default(),
            authors: BTreeMap::new(),
            next: 0,
            hash: 0,
            marks: VecDeque::new(),
            distrusted: HashSet::new(),
        }
    }

    /// Of which log it is.
    pub(crate) fn log(&self) -> u64 {
        self.log
    }

    /// The offset of the record that is to be applied next.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    pub(crate) fn now(&self) -> Time {
        self.clock.now()
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark { offset: self.next, hash: self.hash }
    }

    /// From now on it is not looked at what this author had come to.
    pub(crate) fn distrust(&mut self, author: Author) {
        self.distrusted.insert(author);
    }

    pub(crate) fn distrusted(&self) -> impl Iterator<Item = Author> {
        self.distrusted.iter().copied()
    }

    pub(crate) fn distrusts(&self, author: Author) -> bool {
        self.distrusted.contains(&author)
    }

    /// Applies the next record: what became of each of its commands. One that is not ours has none.
    ///
    /// # Errors
    /// Why it cannot be: then nothing was changed.
    pub(crate) fn take(&mut self, record: &LogRecord) -> Result<Vec<Taken>, Fault> {
        if record.offset != self.next {
            return Err(Fault::Gap);
        }
        let envelope = Envelope::decode(&record.body).map_err(Fault::Unknown)?;
        if let Some(envelope) = &envelope
            && !self.distrusts(envelope.author)
            && self.contradicts(envelope.read)
        {
            return Err(Fault::Diverged(envelope.author));
        }
        let commands = envelope.iter().flat_map(|envelope| &envelope.commands);
        let author = envelope.as_ref().and_then(|envelope| self.authors.get(&envelope.author));
        let commands: Result<Vec<_>> = commands.map(|command| decode(command, author)).collect();
        let commands = commands.map_err(Fault::Unknown)?;
        let now = self.clock.tell(record.time);
        let taken = envelope.map_or_else(Vec::new, |envelope| self.apply_all(now, &envelope, commands));
        self.next += 1;
        self.note(record);
        if self.next.is_multiple_of(FORGETS) {
            self.authors.retain(|_, applied| applied.until >= now);
        }
        Ok(taken)
    }

    fn apply_all(&mut self, now: Time, envelope: &Envelope, commands: Vec<Option<Command>>) -> Vec<Taken> {
        let author = envelope.author;
        let apply = |(enclosed, command): (&Enclosed, _)| {
            let verdict = self.apply(now, author, enclosed, command);
            Taken { author, sequence: enclosed.sequence, verdict }
        };
        let taken = envelope.commands.iter().zip(commands).map(apply).collect();
        if let Some(applied) = self.authors.get_mut(&author) {
            applied.is_done(envelope.done);
        }
        taken
    }

    fn apply(&mut self, now: Time, author: Author, enclosed: &Enclosed, command: Option<Command>) -> Verdict {
        let Some(not_after) = enclosed.not_after else {
            return command.map_or(Verdict::Nothing, |command| Verdict::Applied(self.machine.apply(now, &command)));
        };
        if now > not_after {
            return Verdict::Late;
        }
        let applied = self.authors.entry(author).or_default();
        if !applied.counts(enclosed.sequence, not_after) {
            return Verdict::Nothing;
        }
        let Some(command) = command else {
            applied.gather(enclosed);
            return Verdict::Nothing;
        };
        applied.parts.remove(&enclosed.sequence);
        let effects = self.machine.apply(now, &command);
        applied.after.insert(enclosed.sequence, effects.outcome.as_ref().ok().cloned());
        Verdict::Applied(effects)
    }

    /// What a command came to that was applied, as long as its author has not said that it knows.
    pub(crate) fn came_to(&self, author: Author, sequence: u64) -> Option<Result<Reply>> {
        let reply = self.authors.get(&author)?.after.get(&sequence)?;
        let unknown = || {
            let problem = "it came to an error, and the log had dropped it before that was read";
            Error::new(ErrorKind::Unavailable, "commit", problem).for_good()
        };
        Some(reply.clone().ok_or_else(unknown))
    }

    /// Whether somebody who had read so far came to something else, as far as is known here.
    fn contradicts(&self, read: Mark) -> bool {
        let at = self.marks.binary_search_by_key(&read.offset, |mark| mark.offset);
        at.is_ok_and(|at| self.marks[at] != read)
    }

    /// The hash of a record goes into that of the next, and so does what it came to.
    fn note(&mut self, record: &LogRecord) {
        let came_to = [self.hash, record.time.as_micros(), self.machine.revision().0, self.machine.clock().as_micros()];
        let mut hasher = Sha256::new();
        for word in came_to {
            hasher.update(word.to_be_bytes());
        }
        hasher.update(&record.body);
        let digest = hasher.finalize();
        self.hash = digest.iter().take(8).fold(0, |hash, byte| hash << 8 | u64::from(*byte));
        if self.marks.len() == MARKS {
            self.marks.pop_front();
        }
        self.marks.push_back(self.mark());
    }

    /// It as it is now, which is to be [written down](Image::encode).
    pub(crate) fn image(&self) -> Image {
        let Self { log, clock, authors, next, hash, .. } = self;
        let (log, clock, authors, next, hash) = (*log, *clock, authors.clone(), *next, *hash);
        Image { log, machine: self.machine.snapshot(), clock, authors, next, hash }
    }

    /// Reads what [`Image::encode`] wrote; none if it is not whole, or of another version.
    pub(crate) fn restore(bytes: &[u8]) -> Option<Self> {
        let (seal, mut body) = bytes.split_at_checked(SEAL)?;
        if seal != &Sha256::digest(body)[..] {
            return None;
        }
        let length = usize::try_from(body.try_get_u64().ok()?).ok()?;
        let (stored, machine) = body.split_at_checked(length)?;
        let machine = Machine::restore(Snapshot::decode(machine).ok()?);
        let Stored { log, clock, authors, next, hash } = postcard::from_bytes(stored).ok()?;
        Some(Self { machine, clock, authors, next, hash, ..Self::new(log) })
    }
}

/// The command of which this is the last part, or all; none as long as parts are missing, or if it is damaged.
fn decode(enclosed: &Enclosed, author: Option<&Applied>) -> Result<Option<Command>> {
    let decoded = if enclosed.part.of == 1 {
        Command::decode(&enclosed.body)
    } else {
        let known = author.and_then(|author| author.parts.get(&enclosed.sequence));
        let part = |number| match known?.get(&number) {
            _ if number == enclosed.part.number => Some(&enclosed.body[..]),
            part => part.map(|part| &part[..]),
        };
        let Some(parts) = (0..enclosed.part.of).map(part).collect::<Option<Vec<_>>>() else { return Ok(None) };
        Command::decode(&parts.concat())
    };
    match decoded {
        Ok(command) => Ok(Some(command)),
        Err(error) if error.kind() == ErrorKind::Unsupported => Err(error),
        Err(_) => Ok(None),
    }
}

const SEAL: usize = 32;

/// A replica at one moment.
pub(crate) struct Image {
    pub(crate) log: u64,
    machine: Snapshot,
    clock: Clock,
    authors: BTreeMap<Author, Applied>,
    pub(crate) next: u64,
    hash: u64,
}

impl Image {
    /// Writes it down, so that it shows when a part of it is missing.
    pub(crate) fn encode(self) -> Result<Bytes> {
        let Self { log, machine, clock, authors, next, hash } = self;
        let stored = postcard::to_stdvec(&Stored { log, clock, authors, next, hash })
            .map_err(|error| Error::new(ErrorKind::Backend, "snapshot", "it cannot be encoded").with_source(error))?;
        let (length, machine) = (stored.len() as u64, machine.encode()?);
        let mut bytes = BytesMut::zeroed(SEAL);
        bytes.reserve(8 + stored.len() + machine.len());
        bytes.put_u64(length);
        bytes.put_slice(&stored);
        bytes.put_slice(&machine);
        let seal = Sha256::digest(&bytes[SEAL..]);
        bytes[..SEAL].copy_from_slice(&seal);
        Ok(bytes.freeze())
    }
}

#[cfg(test)]
mod tests;
