//! The Redis and Valkey adapter of [linchpin](https://docs.rs/linchpin): Redis 6.2 and later, any Valkey.
//!
//! ```no_run
//! use linchpin_core::DistributedCoordination;
//! use linchpin_redis::RedisCoordination;
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! #[tokio::main]
//! async fn main() -> linchpin_core::Result<()> {
//!     let url = std::env::var("REDIS_URL").unwrap_or("redis://127.0.0.1:6379".to_owned());
//!     let redis = RedisCoordination::new(&url, "node-1".to_owned(), Some("orders".to_owned())).await?;
//!     let port = Arc::new(redis) as Arc<dyn DistributedCoordination>;
//!     if port.try_acquire_leadership("node-1", Duration::from_secs(10)).await? {
//!         port.publish("news", b"node-1 leads").await?;
//!     }
//!     println!("the leader is {:?}", port.get_leader().await?);
//!     Ok(())
//! }
//! ```
//!
//! # How it uses Redis
//! - Everything lives behind `linchpin:{namespace}:`, so in one hash slot: a namespace is the unit of
//!   scaling. An ACL user needs `~linchpin:{namespace}:*`, `&linchpin:{namespace}:*` and the commands of
//!   [`COMMANDS`].
//! - State changes in constant Lua scripts. Expiry is the adapter's own, by the server's clock with a
//!   high-water mark, so that it is exact and its events arrive; keyspace notifications are not used.
//! - The scripts tell of every change on a pub/sub channel of its topic, a part of the key's name; a watch listens to
//!   those of its range, and reads that again where it may have missed something: the connection broke, or the epoch,
//!   which comes with every change, is another. While anybody watches, one process of a namespace looks after keys that
//!   end, and beats about once a second: it tells the epoch and begins the next one, and removes keys that are listed and
//!   not there any more, so that nothing is lost without being noticed. The one that looked last looks first again; where
//!   it does not, another does.
//! - Reads ask once a second whether the server is the primary. A connection that falls silent after a call is
//!   replaced, if the server answers on another one.
//! - Messages are Redis pub/sub. All that is pushed - changes, messages, wake-ups of waiting stream members -
//!   comes over one connection per handle, which resubscribes and marks the gap.
//! - Streams are Redis Streams; what each group has looked at and has pending is kept beside them, without the
//!   consumer groups of the server, in which the name of every member would stay for ever.
//!
//! What survives a restart or a loss of power depends on the server's persistence: read it in
//! [`Capabilities::durability`](linchpin_core::Capabilities). For locks that guard money, run the server
//! with `appendonly yes`, `appendfsync always` and `maxmemory-policy noeviction`.

mod backend;
mod capabilities;
mod changes;
mod claims;
mod codec;
mod commands;
mod config;
mod connection;
mod erase;
mod error;
mod feed;
mod line;
mod messages;
mod server;
mod state;
mod streams;

pub use backend::{Redis, RedisCoordination};
pub use config::RedisConfig;

/// What an ACL user has to be allowed, as `ACL SETUSER` writes it.
pub const COMMANDS: &str = "+@read +@write +@pubsub +@scripting +@stream +@connection +info +time +config|get";
