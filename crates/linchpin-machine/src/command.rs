//! Commands and replies: the machine's calls as data, for a log.

use crate::codec;
use crate::machine::Machine;
use crate::stream::Placed;
use crate::streams::ClaimAnswer;
use crate::{Effects, Time};
use linchpin_core::{
    Appended, Claim, GroupName, Outcome, Record, Result, Retention, Settled, Settlement, StreamName, Transaction,
};
use serde::{Deserialize, Serialize};

/// Everything that changes a [`Machine`], as data. `Debug` shows no payload.
///
/// ```
/// use linchpin_core::{Key, Transaction};
/// use linchpin_machine::{Command, Machine, Time};
/// let command = Command::Commit(Transaction::new().put(Key::new("a")?, "1", None));
/// let read_back = Command::decode(&command.encode()?)?;
/// assert_eq!(read_back, command);
/// Machine::new().apply(Time::from_micros(1), &read_back).outcome?;
/// # Ok::<(), linchpin_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// [`Machine::tick`].
    Tick,
    /// [`Machine::commit`].
    Commit(Transaction),
    /// [`Machine::append`].
    Append {
        /// The stream.
        stream: StreamName,
        /// The records, in their order.
        records: Vec<Record>,
    },
    /// [`Machine::append_placed`].
    AppendPlaced {
        /// The stream.
        stream: StreamName,
        /// The records, in their order.
        records: Vec<Placed>,
    },
    /// [`Machine::claim`].
    Claim(Claim),
    /// [`Machine::settle`].
    Settle(Vec<Settlement>),
    /// [`Machine::trim`].
    Trim {
        /// The stream.
        stream: StreamName,
        /// How much of it to keep.
        keep: Retention,
    },
    /// [`Machine::clear`].
    Clear {
        /// What the names start with; all do with the empty one.
        prefix: String,
    },
    /// [`Machine::remove_group`].
    RemoveGroup {
        /// The stream.
        stream: StreamName,
        /// Its group.
        group: GroupName,
    },
}

/// What became of a [`Command`]. `Debug` shows no payload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// A [`Command::Tick`] ran.
    Ticked,
    /// A [`Command::Commit`] was decided.
    Decided(Outcome),
    /// A [`Command::Append`] or [`Command::AppendPlaced`] ran: one per record.
    Appended(Vec<Appended>),
    /// A [`Command::AppendPlaced`] did nothing: its contents have to be placed anew.
    Released,
    /// A [`Command::Claim`] ran.
    Claimed(ClaimAnswer),
    /// A [`Command::Settle`] ran: one per settlement.
    Settled(Vec<Settled>),
    /// A [`Command::Trim`] ran and dropped this many records.
    Trimmed(u64),
    /// A [`Command::Clear`] ran.
    Cleared,
    /// A [`Command::RemoveGroup`] ran: whether there was such a group.
    GroupRemoved(bool),
}

impl Command {
    /// Writes it down, with the version of the format; about as large as its payloads.
    ///
    /// # Errors
    /// None that is known.
    pub fn encode(&self) -> Result<Vec<u8>> {
        codec::encode("command", self)
    }

    /// Reads what [`encode`](Self::encode) wrote.
    ///
    /// # Errors
    /// `Unsupported` if it was written in another version of the format, `Backend` if it is damaged or no
    /// command.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        codec::decode("command", bytes)
    }
}

impl Machine {
    /// Applies a command at the time `now`. The same commands at the same times make the same machine.
    ///
    /// # Errors
    /// The outcome is an error where the method that the command names says so.
    pub fn apply(&mut self, now: Time, command: &Command) -> Effects<Result<Reply>> {
        match command {
            Command::Tick => self.tick(now).map(|()| Ok(Reply::Ticked)),
            Command::Commit(transaction) => self.commit(now, transaction).map(|outcome| outcome.map(Reply::Decided)),
            Command::Append { stream, records } => {
                self.append(now, stream, records).map(|all| Ok(Reply::Appended(all)))
            }
            Command::AppendPlaced { stream, records } => {
                self.append_placed(now, stream, records).map(|all| Ok(all.map_or(Reply::Released, Reply::Appended)))
            }
            Command::Claim(claim) => self.claim(now, claim).map(|claimed| Ok(Reply::Claimed(claimed))),
            Command::Settle(settlements) => self.settle(now, settlements).map(|all| Ok(Reply::Settled(all))),
            Command::Trim { stream, keep } => self.trim(now, stream, *keep).map(|dropped| Ok(Reply::Trimmed(dropped))),
            Command::Clear { prefix } => self.clear(now, prefix).map(|()| Ok(Reply::Cleared)),
            Command::RemoveGroup { stream, group } => {
                self.remove_group(now, stream, group).map(|existed| Ok(Reply::GroupRemoved(existed)))
            }
        }
    }
}
