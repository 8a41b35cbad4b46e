//! For adapters: handing messages and changes to the subscribers and watchers within this process, with
//! bounds on memory and without ever losing silently.

mod queue;
mod subscribers;
mod watch;
mod watchers;

pub use queue::Change;
pub use subscribers::Subscribers;
pub use watchers::{Scan, Watchers};
