//! Distributed coordination over the infrastructure you already run: locks with fencing tokens,
//! leadership, membership, messages, versioned state, transactions and durable streams, over Redis, Valkey,
//! NATS, Postgres or the memory of one process. The backend is a Cargo feature and a URL.
//!
//! ```
//! use linchpin::Coordinator;
//! use std::time::Duration;
//!
//! #[tokio::main]
//! async fn main() -> linchpin::Result<()> {
//!     // Swap the URL for "redis://localhost:6379" and several processes take turns.
//!     let coordinator = linchpin::connect("memory://shop").await?;
//!
//!     let guard = coordinator.lock("order:123").wait(Duration::from_secs(5)).acquire().await?;
//!     guard.put("order:123:state", "paid").await?; // refused if somebody else holds the lock by now
//!     guard.release().await?;
//!
//!     coordinator.publish("orders", b"123 is paid").await?;
//!     coordinator.shutdown().await
//! }
//! ```
//!
//! - [`connect`] and [`Coordinator::builder`] open a backend, with retries, timeouts, traces and metrics.
//! - A [`Coordinator`] is the door to the recipes: [`Coordinator::lock`],
//!   [`Coordinator::election`], [`Coordinator::members`]. It derefs to the port
//!   [`DistributedCoordination`], whose methods (`publish`, `subscribe`, `get`, `set`, `keys`,
//!   `try_acquire_leadership`, ...) are called on it directly.
//! - [`Coordinator::port`] is what an application holds as `Arc<dyn DistributedCoordination>` and mocks.
//! - [`Coordinator::driver`] speaks the few native things: transactions, watches, streams.
//!
//! The [book](https://github.com/linchpin-rs/linchpin/blob/main/docs/start.md) starts from nothing, and has the
//! concepts, a recipe for each common task, and how to operate it.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod ahead;
mod connect;
mod context;
mod coordinator;
pub mod election;
mod held;
mod leases;
mod lines;
pub mod lock;
pub mod members;
pub mod prelude;
mod queue;
mod range;
mod wait;

pub use connect::{erase, open, register};
pub use coordinator::{Coordinator, CoordinatorBuilder, connect};
pub use election::{Election, Leader, Leadership};
pub use held::{FencingToken, Held};
pub use lock::{Lock, LockGuard};
pub use members::{Member, MemberEvent, Members, Membership};

// The port, and what goes wrong.
pub use linchpin_core::{
    CoordinationStats, DistributedCoordination, Error, ErrorKind, HasPort, Message, MessageStream, Port, Result, Retry,
    STATS_WINDOW,
};
// The driver: state, messages, streams.
pub use linchpin_core::{
    Action, Appended, Area, Channel, Claim, Condition, DEFAULT_GROUP, Delivery, Driver, Entry, GroupInfo, GroupName,
    Guard, Health, Key, MAX_NAME, MAX_SHORT_NAME, MAX_STORED_NAME, MAX_TTL, MemberName, Mutation, MutationResult,
    Namespace, NodeId, Operation, Outcome, Page, Pattern, Position, Publication, Range, Reach, Receipt, Record,
    Retention, Revision, ScanPage, Settled, Settlement, Snapshot, StreamInfo, StreamName, Subscription,
    SubscriptionEvent, Transaction, TransactionId, WatchEvent, WatchStream, counter, dead_letter, stored,
};
// What a backend can do.
pub use linchpin_core::layers::{self, MetricsSnapshot, OperationMetrics, RetryPolicy};
pub use linchpin_core::{
    Capabilities, Durability, Limits, MessageSupport, StreamSupport, TransactionScope, TtlSupport, WatchCompleteness,
};

#[cfg(feature = "memory")]
pub use linchpin_memory::{MemoryConfig, MemoryCoordination};
#[cfg(feature = "nats")]
pub use linchpin_nats::{NatsConfig, NatsCoordination};
#[cfg(feature = "postgres")]
pub use linchpin_postgres::{PostgresConfig, PostgresCoordination};
#[cfg(feature = "redis")]
pub use linchpin_redis::{RedisConfig, RedisCoordination};
