//! The NATS adapter of [linchpin](https://docs.rs/linchpin): NATS with JetStream, 2.12.1 and later for all of it.
//!
//! ```no_run
//! use linchpin_core::DistributedCoordination;
//! use linchpin_nats::NatsCoordination;
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! #[tokio::main]
//! async fn main() -> linchpin_core::Result<()> {
//!     let url = std::env::var("NATS_URL").unwrap_or("nats://127.0.0.1:4222".to_owned());
//!     let nats = NatsCoordination::new(&url, "node-1".to_owned(), Some("orders".to_owned())).await?;
//!     let port = Arc::new(nats) as Arc<dyn DistributedCoordination>;
//!     if port.try_acquire_leadership("node-1", Duration::from_secs(10)).await? {
//!         port.publish("news", b"node-1 leads").await?;
//!     }
//!     println!("the leader is {:?}", port.get_leader().await?);
//!     Ok(())
//! }
//! ```
//!
//! # How it uses NATS
//! - The keys of a namespace are the stream `KV_linchpin_{namespace}`, one message each, which `nats kv` can show. A
//!   revision is a sequence of it, so a namespace is the unit of scaling. A user needs [`SUBJECTS`].
//! - A transaction is decided by what stands at its keys, and written so that the server refuses it if that has
//!   changed: one key is a publish that expects a sequence, several are an atomic batch. The latter costs a server with
//!   one copy a sync to its disk, some milliseconds.
//! - Keys expire by the server's clock, in whole seconds, rounded up. What says that a key is gone stays for a while,
//!   for the watches.
//! - A transaction's id is the message's, which the server refuses a second time. What came of it is listed in the
//!   key's message, or has one of its own.
//! - A watch follows the stream by one consumer per handle, and reads its range again where it may have missed
//!   something.
//! - Reads ask the server that has the only copy directly; where there are several, the leader.
//! - Messages are core NATS, at most once. A publish returns when the server has handled it, which says if nobody
//!   listens.
//! - Streams are streams of the server and groups its durable consumers, which hand records round. Who has a record,
//!   and how often it was delivered, is written into a stream beside them.
//!
//! A server from 2.9 to 2.12.0 takes what it does not know and ignores it. It is told by its version, and by what it
//! echoes of a stream's configuration; then there are no TTLs, no transactions over several keys, no ids and no
//! streams, and [`Capabilities`](linchpin_core::Capabilities) say so.
//!
//! What a server has acknowledged survives the end of its process. It syncs to its disk every `sync_interval`, 2
//! minutes by default: until then a loss of power takes it, where there is no other copy. For locks that guard money,
//! run the server with `sync_interval: always`, and three servers with `?replicas=3`. Where the
//! newest data is lost, its revisions, and so fencing tokens, are given again.

mod backend;
mod config;
mod connection;
mod erase;
mod error;
mod gather;
mod log;
mod messages;
mod names;
mod reader;
mod servers;
mod stream;

pub use backend::{Nats, NatsCoordination, NatsLogs};
pub use config::NatsConfig;

/// What a user of the namespace `shop` has to be allowed, as a server's configuration writes it. In the names of other
/// namespaces a `.` is written as `D`.
pub const SUBJECTS: &str = r#"permissions: {
  publish: [
    "linchpin.shop.>", "$JS.API.STREAM.*.linchpin_shop_LOG", "$JS.API.STREAM.*.linchpin_shop_DATA"
    "$JS.API.CONSUMER.CREATE.linchpin_shop_LOG.>", "$JS.API.DIRECT.GET.linchpin_shop_DATA"
    "$JS.API.STREAM.MSG.GET.linchpin_shop_DATA", "$JS.FC.linchpin_shop_LOG.>", "_INBOX.>"
  ]
  subscribe: ["linchpin.shop.m.>", "_INBOX.>"]
}"#;
