//! The in-memory adapter of [linchpin](https://docs.rs/linchpin): for tests, for development, and for
//! programs of one process that may have more one day.
//!
//! ```
//! use linchpin_core::DistributedCoordination;
//! use linchpin_memory::MemoryCoordination;
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> linchpin_core::Result<()> {
//! let port = Arc::new(MemoryCoordination::new()) as Arc<dyn DistributedCoordination>;
//! if port.try_acquire_leadership("node-1", Duration::from_secs(10)).await? {
//!     port.set("greeting", b"hello", None).await?;
//! }
//! assert_eq!(port.get_leader().await?.as_deref(), Some("node-1"));
//! # Ok(())
//! # }
//! ```
//!
//! # How it works
//! - A namespace is a [`linchpin_machine::Machine`] behind one mutex. It lives as long as a handle to it,
//!   or a watch or subscription of one, and is gone with the last.
//! - [`MemoryCoordination::new`] opens a namespace of its own. Handles of one process that
//!   [`connect`](MemoryCoordination::connect) to the same `memory://name` and namespace share it.
//! - The clock is tokio's, started at the system's time, so tests may pause and advance it.
//! - Keys expire when their time has come, whether or not anybody looks: a background task of the tokio
//!   runtime that first gave a key a time to live sees to it. Without a runtime, or when that one is gone,
//!   they expire with the next call. Waiting and expiry need a runtime with its timer enabled, as
//!   `#[tokio::main]` makes it.

mod audience;
mod backend;
mod clock;
mod config;
mod registry;
mod space;
mod streams;
mod sweeper;

pub use backend::{Memory, MemoryCoordination};
pub use config::MemoryConfig;
