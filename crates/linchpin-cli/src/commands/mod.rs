//! The subcommands: each has its `Args` and its `run`.

pub(crate) mod completions;
pub(crate) mod del;
pub(crate) mod demo;
pub(crate) mod elect;
pub(crate) mod get;
pub(crate) mod health;
pub(crate) mod keys;
pub(crate) mod leader;
pub(crate) mod lock;
pub(crate) mod man;
pub(crate) mod nodes;
pub(crate) mod publish;
pub(crate) mod set;
pub(crate) mod stats;
pub(crate) mod stream;
pub(crate) mod subscribe;
pub(crate) mod watch;
