//! The contract of [linchpin](https://docs.rs/linchpin): what an adapter implements, what an application
//! holds, and the types, errors and layers that every crate of linchpin speaks.
//!
//! - [`Driver`] is what an adapter implements: versioned state, messages, durable streams.
//! - [`DistributedCoordination`] is the port that an application holds and mocks; it is implemented once:
//!   [`Port`] is it over any driver.
//! - [`layers`] put retries, timeouts, traces, metrics and a nested namespace around a driver.
//!
//! Applications use the crate `linchpin`; this one is for adapters and for code that wants only the port.
//!
//! ```
//! use linchpin_core::{DistributedCoordination, Result};
//! use std::time::Duration;
//!
//! async fn remember(port: &dyn DistributedCoordination) -> Result<()> {
//!     port.set("greeting", b"hello", Some(Duration::from_secs(60))).await?;
//!     port.publish("greetings", b"there is a new one").await
//! }
//! ```
//!
//! Names, patterns and transactions are checked before anything is sent, by every adapter alike:
//! ```
//! use linchpin_core::{ErrorKind, Key, Pattern, Transaction};
//!
//! let (pattern, key) = (Pattern::new("session:*")?, Key::new("session:7")?);
//! assert!(pattern.matches(key.as_str()));
//! assert_eq!(Key::new("").expect_err("it is empty").kind(), ErrorKind::InvalidArgument);
//!
//! let create = Transaction::new().absent(key.clone()).put(key, "Ada", None);
//! assert_eq!(create.operations(), 2);
//! # Ok::<(), linchpin_core::Error>(())
//! ```

mod capabilities;
mod counter;
mod driver;
mod entry;
mod error;
mod fingerprint;
pub mod layers;
pub mod life;
mod message;
mod name;
mod operation;
mod pattern;
mod port;
mod stream;
mod transaction;
mod watch;

pub use capabilities::{
    Capabilities, Durability, Limits, MAX_TTL, MessageSupport, StreamSupport, TransactionScope, TtlSupport,
    WatchCompleteness,
};
pub use counter::counter;
pub use driver::{Driver, Health};
pub use entry::{Entry, Page, Range, Revision, ScanPage, Snapshot};
pub use error::{Error, ErrorKind, Result, Retry};
pub use fingerprint::hash_128;
pub use message::{Message, Publication, Reach, Subscription, SubscriptionEvent};
pub use name::{
    Channel, GroupName, Key, MAX_NAME, MAX_SHORT_NAME, MAX_STORED_NAME, MemberName, Namespace, NodeId, StreamName,
};
pub use operation::Operation;
pub use pattern::Pattern;
pub use port::{
    Area, CoordinationStats, DEFAULT_GROUP, DistributedCoordination, HasPort, MessageStream, Port, STATS_WINDOW, stored,
};
pub use stream::{
    Action, Appended, Claim, Delivery, GroupInfo, Position, Receipt, Record, Retention, Settled, Settlement,
    StreamInfo, dead_letter,
};
pub use transaction::{Condition, Guard, Mutation, MutationResult, Outcome, Transaction, TransactionId};
pub use watch::{WatchEvent, WatchStream};
