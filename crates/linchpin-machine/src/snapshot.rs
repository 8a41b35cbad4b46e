//! Snapshots: a whole machine at one point of its history.

use crate::codec;
use crate::ids::Ids;
use crate::machine::Machine;
use crate::state::Keys;
use crate::streams::Streams;
use crate::time::Time;
use linchpin_core::{Result, Revision};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A whole machine at one point of its history. A machine restored from it goes on exactly like the one
/// that it was taken of. `Debug` shows no payload.
///
/// ```
/// use linchpin_core::{Key, Transaction};
/// use linchpin_machine::{Machine, Snapshot, Time};
/// let mut machine = Machine::new();
/// machine.commit(Time::from_micros(1), &Transaction::new().put(Key::new("a")?, "1", None)).outcome?;
/// let bytes = machine.snapshot().encode()?;
/// let restored = Machine::restore(Snapshot::decode(&bytes)?);
/// assert_eq!(restored.revision(), machine.revision());
/// # Ok::<(), linchpin_core::Error>(())
/// ```
#[derive(Clone, Serialize, Deserialize)]
pub struct Snapshot {
    clock: Time,
    revision: Revision,
    keys: Keys,
    ids: Ids,
    streams: Streams,
}

impl Snapshot {
    /// The revision that it was taken at.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// Writes it down, with the version of the format. Equal machines give equal bytes.
    ///
    /// # Errors
    /// None that is known.
    pub fn encode(&self) -> Result<Vec<u8>> {
        codec::encode("snapshot", self)
    }

    /// Reads what [`encode`](Self::encode) wrote.
    ///
    /// # Errors
    /// `Unsupported` if it was written in another version of the format, `Backend` if it is damaged or no
    /// snapshot.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        codec::decode("snapshot", bytes)
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("revision", &self.revision)
            .field("clock", &self.clock)
            .field("keys", &self.keys.len())
            .field("streams", &self.streams.len())
            .finish_non_exhaustive()
    }
}

impl Machine {
    /// The machine as it is now. Payloads are shared, not copied.
    pub fn snapshot(&self) -> Snapshot {
        let Self { clock, revision, keys, ids, streams } = self.clone();
        Snapshot { clock, revision, keys, ids, streams }
    }

    /// The machine that a snapshot was taken of.
    pub fn restore(snapshot: Snapshot) -> Self {
        let Snapshot { clock, revision, keys, ids, streams } = snapshot;
        Self { clock, revision, keys, ids, streams }
    }
}
