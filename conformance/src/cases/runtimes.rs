//! Handles that outlive the runtime in which they were opened: one in a `static`, used by several tests.

use super::prelude::*;
use crate::calls::put;
use crate::failure::here;
use crate::waiting::{PATIENCE, soon};
use bytes::Bytes;
use futures::StreamExt;
use linchpin_core::{Channel, Pattern, Range, Subscription, SubscriptionEvent, WatchEvent, WatchStream};
use tokio::time::Instant;

cases! { Errors "errors";
    a_handle_that_outlives_its_runtime_works_or_says_so [] HANDLE_THAT_OUTLIVES_ITS_RUNTIME_WORKS_OR_SAYS_SO
        "A handle whose runtime has ended works in another one, or every call fails with `Closed` and says why";
    a_watch_that_outlives_its_runtime_is_not_silent [Watch] HANDLE_THAT_OUTLIVES_ITS_RUNTIME_WORKS_OR_SAYS_SO
        "A handle whose runtime has ended works in another one, or its watches end with `Closed`: they are never silent";
    a_subscription_that_outlives_its_runtime_is_not_silent [Messages] HANDLE_THAT_OUTLIVES_ITS_RUNTIME_WORKS_OR_SAYS_SO
        "A handle whose runtime has ended works in another one, or its subscriptions end with `Closed`: they are never silent";
}

/// What was made of a new handle in a runtime of its own, which has ended since.
#[track_caller]
fn made_elsewhere<T, F, M>(ctx: &Context, make: M) -> impl Future<Output = Result<(Arc<dyn Driver>, T), Failure>>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Failure>>,
    M: FnOnce(Arc<dyn Driver>) -> F + Send + 'static,
{
    here(async move {
        let ctx = ctx.clone();
        let thread = tokio::task::spawn_blocking(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| Failure::new(format!("there is no second runtime: {error}")))?;
            runtime.block_on(async {
                let driver = ctx.another().await?;
                let result = make(driver.clone()).await?;
                Ok((driver, result))
            })
        });
        thread.await.map_err(|error| Failure::new(format!("the thread of the second runtime failed: {error}")))?
    })
}

/// Whether the handle is of no more use; any other failure is one of the case.
#[track_caller]
fn says_so<T>(result: linchpin_core::Result<T>) -> Result<Option<T>, Failure> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::Closed => {
            let text = error.to_string();
            ensure!(text.contains("runtime"), "it says {text:?}, and not that its runtime has ended");
            Ok(None)
        }
        Err(error) => Err(Failure::new(format!("neither an answer nor `Closed`: {error:?}"))),
    }
}

async fn a_handle_that_outlives_its_runtime_works_or_says_so(ctx: Context) -> CaseResult {
    let key = Key::new("k")?;
    let own = key.clone();
    let write = move |driver: Arc<dyn Driver>| async move { put(&driver, &own, "1").await.map(drop) };
    let (driver, ()) = made_elsewhere(&ctx, write).await?;
    for _ in 0..3 {
        let asked =
            soon("an answer of a handle whose runtime has ended", driver.get(std::slice::from_ref(&key))).await?;
        if let Some(snapshot) = says_so(asked)? {
            ensure!(snapshot.entries[0].is_some(), "the handle works, and does not read what it wrote");
        }
        let change = Transaction::new().put(key.clone(), "2", None);
        says_so(soon("an answer of a handle whose runtime has ended", driver.commit(&change)).await?)?;
    }
    put(&ctx.driver(), &key, "3").await?;
    Ok(())
}

async fn a_watch_that_outlives_its_runtime_is_not_silent(ctx: Context) -> CaseResult {
    let key = Key::new("k")?;
    let watch = |driver: Arc<dyn Driver>| async move {
        let mut events: WatchStream = driver.watch(&Range::all()).await?;
        while !matches!(events.next().await.transpose()?, Some(WatchEvent::Synced { .. }) | None) {}
        Ok(events)
    };
    let (_driver, mut events) = made_elsewhere(&ctx, watch).await?;
    put(&ctx.driver(), &key, "1").await?;
    let told = soon("a watch whose runtime has ended tells of a write, or ends", events.next()).await?;
    let Some(told) = told else { return Err(Failure::new("the watch ended without saying why")) };
    match says_so(told)? {
        None => Ok(()),
        Some(WatchEvent::Put(entry)) if entry.key == key => Ok(()),
        Some(other) => Err(Failure::new(format!("the write of {key:?} was told as {other:?}"))),
    }
}

async fn a_subscription_that_outlives_its_runtime_is_not_silent(ctx: Context) -> CaseResult {
    let channel = Channel::new("c")?;
    let subscribe = |driver: Arc<dyn Driver>| async move { Ok(driver.subscribe(&Pattern::exact("c")?).await?) };
    let (_driver, mut events): (_, Subscription) = made_elsewhere(&ctx, subscribe).await?;
    let (publisher, started) = (ctx.driver(), Instant::now());
    // What was sent while it came to life again may be missed, as the gap says.
    loop {
        publisher.publish(&channel, Bytes::from_static(b"hello")).await?;
        let told = tokio::time::timeout(PATIENCE / 10, events.next()).await;
        ensure!(told.is_ok() || started.elapsed() < PATIENCE, "a subscription whose runtime has ended is silent");
        let Ok(told) = told else { continue };
        let Some(told) = told else { return Err(Failure::new("the subscription ended without saying why")) };
        match says_so(told)? {
            None | Some(SubscriptionEvent::Message(_)) => return Ok(()),
            Some(_) => {}
        }
    }
}
