//! What most programs need: `use linchpin::prelude::*;`.
//!
//! ```
//! use linchpin::prelude::*;
//!
//! # #[tokio::main]
//! # async fn main() -> Result<()> {
//! let coordinator = linchpin::connect("memory://").await?;
//! let Some(guard) = coordinator.lock("order:7").try_acquire().await? else { return Ok(()) };
//! guard.put("order:7:state", "paid").await?;
//! guard.release().await
//! # }
//! ```

pub use crate::{Coordinator, DistributedCoordination, Error, ErrorKind, LockGuard, Result};
