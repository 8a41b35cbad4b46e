//! [linchpin](https://docs.rs/linchpin)'s coordination state machine, replicated over any totally ordered log: for adapters
//! of servers that have one.
//!
//! Commands are appended to the log; every client reads all of them and applies them in their order to a
//! [`Machine`](linchpin_machine::Machine) of its own. What became of a command its author knows when it reads it back. So a
//! transaction over many keys is one record, and reading is looking into one's own memory, once all is known that the log
//! has by then.
//!
//! - **A command counts once**, however often it was appended, and not at all after the time that it carries: so what became
//!   of a call is known as soon as the log answers again, and `Unknown` is only told where it does not.
//! - **Time is the log's**: each record has one. Where the log's clock steps back time stands still for a moment and goes on
//!   evenly, for every client alike. When a key's time to live ends few clients append a record, and the others see it.
//! - **What was read is what the log says**: offsets have no gap, and each command carries a hash of all that its author had
//!   read and of the revisions and times that it came to. A client that finds something else begins anew, with what the log says, and has its watchers
//!   read their ranges again.
//! - **Any client keeps snapshots**, and the log is dropped behind the older of two that are whole. One that is torn, or comes
//!   from a client that slept meanwhile, does no harm.
//!
//! An adapter implements [`Log`] and [`LogReader`] for its server, and a [`LogSource`] that opens logs;
//! `Coordination<Replicated<ItsSource>>` is its handle then. [`memory::MemoryLog`] is a log without a server, for tests, with
//! the faults that logs have.
//!
//! After Schema Registry's `KafkaStore` and Tango ("Tango: Distributed Data Structures over a Shared Log", SOSP 2013).

mod backend;
mod client;
mod envelope;
mod log;
pub mod memory;
mod pending;
mod replica;
mod truth;

pub use backend::{LogSource, Messages, OpenLog, Replicated, capabilities};
pub use log::{Bounds, Log, LogReader, LogRecord};
