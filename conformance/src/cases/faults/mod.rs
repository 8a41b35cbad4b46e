//! What holds while a server is paused, killed, restarted or cut off. Each case has a server of its own.

mod clock;
mod cut;
mod half_open;
mod history;
mod pause;
mod recipes;
mod restart;
mod slow;
mod writes;

use crate::case::Case;
use crate::context::Context;
use crate::failure::{Failure, ensure, here};
use crate::waiting::{eventually, soon};
use linchpin::Coordinator;
use linchpin_core::{Driver, Error};
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(super) const CASES: &[&[Case]] = &[
    pause::CASES,
    restart::CASES,
    clock::CASES,
    cut::CASES,
    half_open::CASES,
    slow::CASES,
    writes::CASES,
    history::CASES,
    recipes::CASES,
];

/// How long an attempt may take in these cases.
const ATTEMPT: Duration = Duration::from_millis(500);

/// What a machine that has more to do may add to it: less than a call would take that has no attempt's end.
const BUSY: Duration = Duration::from_secs(3);

/// A coordinator over one of the case's handles, that tries once and gives up soon.
#[track_caller]
fn impatient(driver: Arc<dyn Driver>) -> impl Future<Output = Result<Coordinator, Failure>> {
    here(async move {
        let node = Coordinator::over(driver).retry(linchpin::RetryPolicy::NEVER).timeout(ATTEMPT);
        Ok(node.connect().await?)
    })
}

/// A coordinator over one of the case's handles with the retries that everybody has. An append, a claim or a settlement
/// that may have been applied is not tried again: where one has to succeed, the handle itself is asked, which has its own time.
#[track_caller]
fn patient(driver: Arc<dyn Driver>) -> impl Future<Output = Result<Coordinator, Failure>> {
    here(async move { Ok(Coordinator::over(driver).timeout(ATTEMPT).connect().await?) })
}

/// Fails unless a call ends within the time that an attempt has, whatever it answers.
#[track_caller]
fn in_time<T>(
    what: &str,
    call: impl Future<Output = Result<T, Error>>,
) -> impl Future<Output = Result<Result<T, Error>, Failure>> {
    here(async move {
        let started = Instant::now();
        let ended = soon(what, call).await?;
        let (took, limit) = (started.elapsed(), ATTEMPT + BUSY);
        ensure!(took <= limit, "{what} took {took:?}, the limit is {limit:?}");
        Ok(ended)
    })
}

/// Calls again until the server is reached again; only what may pass by itself may stand in the way.
#[track_caller]
fn until_back<T, F>(what: &str, mut call: impl FnMut() -> F) -> impl Future<Output = Result<T, Failure>>
where
    F: Future<Output = Result<T, Error>>,
{
    here(eventually(what, move || {
        let call = call();
        async move {
            match call.await {
                Ok(value) => Ok(Some(value)),
                Err(error) if error.is_transient() => Ok(None),
                Err(error) => Err(error.into()),
            }
        }
    }))
}

/// What a stored thing needs to be there after a crash.
fn survives_restart(ctx: &Context) -> bool {
    ctx.capabilities().durability.survives_restart
}
