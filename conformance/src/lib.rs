//! The contract of linchpin as a test suite that any adapter can run.
//!
//! A [`Case`] is data: an id, the sentence of the contract that it proves, the capabilities it needs and
//! a body. [`run`] holds an adapter to all of [`cases`]: what its capabilities declare must work, and what
//! they do not declare must be refused with `Unsupported`. Nothing is skipped in silence: a backend that is
//! not there is a failure, unless `LINCHPIN_TEST_SKIP` names it.
//!
//! An adapter needs a target with `harness = false` and this much:
//! ```no_run
//! use linchpin_conformance::{Harness, async_trait};
//! use linchpin_core::{Driver, Namespace, Result};
//! use std::{process::ExitCode, sync::Arc};
//! # mod my_adapter {
//! #     use super::*;
//! #     pub async fn connect(_: &Namespace) -> Result<Arc<dyn Driver>> { unimplemented!() }
//! # }
//!
//! struct Mine;
//!
//! #[async_trait]
//! impl Harness for Mine {
//!     fn name(&self) -> &str { "mine" }
//!     fn describe(&self) -> String { "mine 1.0 on localhost".to_owned() }
//!     async fn start(&self) -> Result<(), String> { Ok(()) }
//!     async fn connect(&self, namespace: &Namespace) -> Result<Arc<dyn Driver>> { my_adapter::connect(namespace).await }
//! }
//!
//! fn main() -> ExitCode {
//!     linchpin_conformance::run(Mine)
//! }
//! ```
//!
//! The arguments are those of `cargo test`: a filter, `--exact`, `--list`, `--test-threads`, ... The
//! environment adds two:
//! - `LINCHPIN_TEST_SKIP=redis,nats` skips backends by their names, loudly.
//! - `LINCHPIN_REPORT_DIR=dir` writes `dir/<name>.json` and `dir/<name>.md`.

mod calls;
mod case;
mod cases;
mod context;
mod failure;
mod faults;
mod harness;
mod lease;
mod need;
mod readers;
mod recipes;
mod refusals;
mod report;
mod run;
mod stream_calls;
mod waiting;

pub use async_trait::async_trait;
pub use case::{Area, Case, CaseBody, CaseResult};
pub use cases::cases;
pub use context::Context;
pub use failure::Failure;
pub use faults::{Direction, FaultServer, Faults, Proxy};
pub use harness::Harness;
pub use need::Need;
pub use report::Verdict;
pub use run::{Judged, Options, judge, run, run_with};
