//! Keys with a TTL, and when they must end.

use crate::calls::{commit, read};
use crate::context::Context;
use crate::failure::{Failure, ensure, here};
use crate::waiting::{Timed, Window, timed};
use linchpin_core::{Driver, Key, MutationResult, Revision, Transaction};
use std::sync::Arc;
use std::time::Duration;

/// A TTL that was granted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lease {
    /// The version of the key.
    pub(crate) version: Revision,
    /// How long it was granted.
    pub(crate) granted: Duration,
    /// When the key must end.
    pub(crate) end: Window,
}

impl Lease {
    fn new(ctx: &Context, asked: Duration, granted: &Timed<(Revision, Duration)>) -> Result<Self, Failure> {
        let (version, ttl) = granted.value;
        let due = ctx.ttl(asked);
        ensure!(ttl == due, "a ttl of {asked:?} was granted as {ttl:?}: what was asked for, rounded up, is {due:?}");
        Ok(Self { version, granted: ttl, end: granted.window(ttl, ctx.ttl_slack()) })
    }

    /// Writes a key for a time.
    #[track_caller]
    pub(crate) fn put(
        ctx: &Context,
        driver: &Arc<dyn Driver>,
        key: &Key,
        ttl: Duration,
    ) -> impl Future<Output = Result<Self, Failure>> {
        here(async move {
            let put = Transaction::new().put(key.clone(), "leased", Some(ttl));
            let granted = timed(async {
                let done = commit(driver, put).await?;
                match done.results[..] {
                    [MutationResult::Put { ttl: Some(granted), .. }] => Ok((done.revision, granted)),
                    ref other => Err(Failure::new(format!("a put with a ttl of {ttl:?} answered {other:?}"))),
                }
            });
            Self::new(ctx, ttl, &granted.await?)
        })
    }

    /// Gives the same version of the key another time from now on.
    #[track_caller]
    pub(crate) fn extend(
        self,
        ctx: &Context,
        driver: &Arc<dyn Driver>,
        key: &Key,
        ttl: Duration,
    ) -> impl Future<Output = Result<Self, Failure>> {
        here(async move {
            let extend = Transaction::new().extend(key.clone(), self.version, ttl);
            let granted = timed(async {
                match commit(driver, extend).await?.results[..] {
                    [MutationResult::Extended { ttl: Some(granted) }] => Ok((self.version, granted)),
                    ref other => Err(Failure::new(format!("extending to {ttl:?} answered {other:?}"))),
                }
            });
            Self::new(ctx, ttl, &granted.await?)
        })
    }

    /// Looks at the key until it is gone, and fails if that was too early or too late.
    #[track_caller]
    pub(crate) fn ends_in_time(
        &self,
        driver: &Arc<dyn Driver>,
        key: &Key,
    ) -> impl Future<Output = Result<(), Failure>> {
        here(async move {
            let what = format!("the end of {key:?}, which was granted {:?}", self.granted);
            let look = || async { Ok(read(driver, key).await?.is_none().then_some(())) };
            self.end.sees(what, look).await
        })
    }
}
