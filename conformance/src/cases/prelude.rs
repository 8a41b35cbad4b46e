//! What cases are written with.

pub(super) use crate::case::{CaseResult, cases};
pub(super) use crate::context::Context;
pub(super) use crate::failure::{Failure, ensure, ensure_eq, fails_with};
pub(super) use linchpin_core::{Channel, DistributedCoordination, Driver, Error, ErrorKind, Key, Transaction};
pub(super) use std::sync::Arc;
pub(super) use std::time::Duration;
