//! The NATS adapter of [linchpin](https://docs.rs/linchpin): NATS with JetStream, 2.9 and later.
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
//! - A namespace is a log, the stream `linchpin_{namespace}_LOG`: a handle appends what is to be done, reads all that
//!   anybody does in its order, and applies it to the state machine of `linchpin-machine`, as [`linchpin_log`] describes.
//!   A transaction over any number of keys is one message.
//! - Snapshots, and what records of streams carry, lie in a second stream, `linchpin_{namespace}_DATA`. Only who claims a
//!   record receives what it carries.
//! - Time is the server's, made to run on where it steps back.
//! - A read appends a message that does nothing and waits until that is read back; one serves all who read meanwhile.
//! - Messages are core NATS, at most once. A publish returns when the server has handled it, which says if nobody
//!   listens.
//! - A user needs [`SUBJECTS`], which hold it to its namespace.
//!
//! What a server has acknowledged survives the end of its process. It syncs to its disk every `sync_interval`, 2
//! minutes by default: until then a loss of power takes it, where there is no other copy. For locks that guard money,
//! run the server with `sync_interval: always`, and three servers with `?replicas=3`.

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
