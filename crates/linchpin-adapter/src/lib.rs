//! For authors of adapters of [linchpin](https://docs.rs/linchpin): what every adapter needs and none has to write.
//!
//! - An adapter writes a [`Backend`]: what its server does natively. [`Coordination`] makes a driver and a port of it,
//!   and does what every handle has to: it checks, closes, shares and says whose it is.
//! - [`fanout`] hands messages and changes to the subscribers and watchers of one process, bounded and never silently
//!   losing any.
//! - [`feed`] tells changes in their order, and notices where some are missing; [`service`] runs what is needed for that
//!   while somebody watches.
//! - [`decide`] says what a transaction comes to, given what stands at its keys; [`outcomes`] is what is remembered of it.
//! - [`hub`] shares one connection over which a server pushes, with one subscription for overlapping patterns.
//! - [`claims`] is how the claims of a handle wait.
//! - [`streams`] are streams over transactions and watches, for a backend that has none of its own; [`records`] is how
//!   records are stored.
//! - [`tasks`] does work as a task of the handle, and [`backoff`] pauses between attempts.
//! - [`url`] reads URLs, and [`tls`] certificates and keys, without ever repeating a secret.

mod backend;
pub mod backoff;
pub mod claims;
mod coordination;
pub mod decide;
pub mod fanout;
pub mod feed;
mod handle;
pub mod hub;
mod opener;
pub mod outcomes;
pub mod records;
pub mod service;
pub mod streams;
pub mod tasks;
#[cfg(feature = "tls")]
pub mod tls;
pub mod url;

pub use backend::{Backend, Config};
pub use coordination::Coordination;
pub use opener::Opener;
