//! For adapters: handing messages and changes to the subscribers and watchers within this process, with
//! bounds on memory and without ever losing silently.

mod subscribers;
mod watchers;

pub use subscribers::Subscribers;
pub use watchers::{Change, Scan, Watchers};
