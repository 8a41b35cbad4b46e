//! The contract of linchpin as a test suite that any adapter can run.
//!
//! A [`Case`] is data: an id, the sentence of the contract that it proves, the capabilities it needs and
//! a body. [`run`] holds an adapter to all of [`cases`]: what its capabilities declare must work, and what
//! they do not declare must be refused with `Unsupported`. Nothing is skipped in silence: a backend that is
//! not there is a failure, unless `LINCHPIN_TEST_SKIP` names it.
//!
//! An adapter needs a target with `harness = false` and this much (see [`over`], or [`Harness`] for a backend
//! whose server has to be started):
//! ```no_run
//! use linchpin_conformance::{over, run};
//! use linchpin_memory::{MemoryConfig, MemoryCoordination}; // or your own adapter
//!
//! fn main() -> std::process::ExitCode {
//!     run(over("mine", |namespace| async {
//!         MemoryCoordination::connect(MemoryConfig::from_url("memory://mine")?.namespace(namespace)).await
//!     }))
//! }
//! ```
//!
//! One case alone, for whoever writes an adapter bit by bit:
//! ```
//! use linchpin_conformance::{Verdict, cases, judge, over};
//! use linchpin_memory::{MemoryConfig, MemoryCoordination}; // or your own adapter
//! use std::{sync::Arc, time::Duration};
//!
//! # fn main() -> std::io::Result<()> {
//! let mine = over("mine", |namespace| async {
//!     MemoryCoordination::connect(MemoryConfig::from_url("memory://mine")?.namespace(namespace)).await
//! });
//! let case = cases().iter().find(|case| case.id == "state.put_then_get").expect("there is such a case");
//! let runtime = tokio::runtime::Runtime::new()?;
//! let judged = judge(Arc::new(mine), case, Duration::from_secs(30), runtime.handle());
//! assert_eq!(judged.verdict, Verdict::Passed, "{}: {:?}", case.sentence, judged.message);
//! # Ok(())
//! # }
//! ```
//!
//! The arguments are those of `cargo test`: a filter, `--exact`, `--list`, `--test-threads`, ... The
//! environment adds three:
//! - `LINCHPIN_TEST_SKIP=redis,nats` skips backends by their names, loudly.
//! - `LINCHPIN_REPORT_DIR=dir` writes `dir/<name>.json` and `dir/<name>.md`.
//! - `LINCHPIN_HISTORY_DIR=dir` keeps the histories of the cases that judge some, as JSON lines.
//!
//! A program that is no test, and shows what became of the cases in its own way, calls [`report`](fn@report).

mod calls;
mod case;
mod cases;
mod context;
mod contract;
mod doubles;
mod failure;
mod faults;
mod harness;
mod history;
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
pub use contract::contract;
pub use failure::Failure;
pub use faults::{ClockStep, Direction, FaultServer, Faults, Proxy};
pub use harness::{Harness, over};
pub use history::judge_history;
pub use need::Need;
pub use report::{CaseReport, Report, Verdict};
pub use run::{Judged, Observer, Options, judge, report, run, run_with};
