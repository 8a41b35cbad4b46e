//! What cases are written with. Neither `Driver` nor `DistributedCoordination` is here: they have methods
//! of the same names, so each module imports the one that its cases are about.

pub(super) use crate::case::{CaseResult, cases};
pub(super) use crate::context::Context;
pub(super) use crate::failure::{Failure, ensure, ensure_eq, fails_with};
pub(super) use linchpin_core::{Channel, Error, ErrorKind, Key, Transaction};
pub(super) use std::time::Duration;
