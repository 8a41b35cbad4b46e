//! What goes around a driver: traces, metrics, retries, timeouts, a nested namespace.
//!
//! [`Layers`] puts them on in the right order, with defaults that are right without reading:
//! ```
//! use linchpin_core::layers::Layers;
//! use linchpin_core::{Driver, Namespace};
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! fn layered(driver: Arc<dyn Driver>) -> Arc<dyn Driver> {
//!     Layers::default().timeout(Duration::from_secs(2)).wrap(driver)
//! }
//! ```
//!
//! A layer of your own is one of two things: one that treats all calls alike is an [`Around`], one that changes what
//! some of them do is a [`Layer`].

mod around;
mod builder;
mod layer;
mod measure;
mod namespace;
mod retry;
mod timeout;
mod trace;

pub use around::{Around, Call, around};
pub use builder::Layers;
pub use layer::Layer;
pub use measure::{Metrics, MetricsSnapshot, OperationMetrics};
pub use namespace::NamespaceLayer;
pub use retry::RetryPolicy;
