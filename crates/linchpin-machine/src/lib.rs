//! A deterministic coordination state machine: versioned keys with time to live, transactions, durable
//! streams and watch events, without I/O, without a clock of its own, without randomness.
//!
//! A [`Machine`] is one namespace of [linchpin](https://docs.rs/linchpin). Its methods do what
//! [`Driver`](linchpin_core::Driver) says, at the server's time that each is told; they give the caller's
//! answer and, for the watchers, what changed. The in-memory adapter puts it behind a mutex. A replicated
//! log applies the same [`Command`]s in the same order everywhere and gets the same machine everywhere;
//! a [`Snapshot`] lets it forget the log's beginning.
//!
//! ```
//! use linchpin_core::{Claim, GroupName, MemberName, Record, StreamName};
//! use linchpin_machine::{Machine, Time};
//!
//! let (mut machine, now) = (Machine::new(), Time::from_micros(1_700_000_000_000_000));
//! let orders = StreamName::new("orders")?;
//! let applied = machine.append(now, &orders, &[Record::new("pay order 7")]);
//! assert_eq!(applied.woken, [orders.clone()]);
//!
//! let claim = Claim::new(orders, GroupName::new("billing")?, MemberName::new("worker-1")?);
//! let claimed = machine.claim(now, &claim).outcome;
//! assert_eq!(claimed.deliveries[0].payload, "pay order 7");
//! # Ok::<(), linchpin_core::Error>(())
//! ```
//!
//! The machine takes what it is given: an adapter first refuses bad input with the `admit_` checks of
//! [`Capabilities`](linchpin_core::Capabilities).

mod codec;
mod command;
mod commit;
mod group;
mod ids;
mod machine;
mod recent;
mod records;
mod snapshot;
mod state;
mod stream;
mod streams;
mod time;

pub use codec::FORMAT_VERSION;
pub use command::{Command, Reply};
pub use ids::ID_WINDOW;
pub use machine::{Effects, Machine};
pub use snapshot::Snapshot;
pub use stream::{DEDUPE_WINDOW, Placed};
pub use streams::{ClaimAnswer, Prospect};
pub use time::Time;
