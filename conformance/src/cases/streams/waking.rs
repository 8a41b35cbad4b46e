//! How long a claim waits, and for how long it has what it got.

use super::super::prelude::*;
use crate::stream_calls::{append, claim, take_one};
use crate::waiting::{LONG, ON_THE_WAY, PATIENCE, timed, together};
use tokio::time::{Instant, sleep};

cases! { Streams "streams";
    records_wake_everybody [Streams] WAITING_CLAIM_WAKES_FOR_A_RECORD
        "A claim waits no longer than until there is one: of each group, and each member";
    a_claim_of_many_waits_for_the_first [Streams] WAITING_CLAIM_WAKES_FOR_A_RECORD
        "A claim waits for the first record";
    a_long_wait_is_waited [Streams] WAITING_CLAIM_WAKES_FOR_A_RECORD
        "A claim waits as long as it says";
    visibility_counts_from_the_delivery [Streams] CLAIM_IS_EXCLUSIVE
        "A claim that waited is exclusive for all of its visibility";
}

async fn records_wake_everybody(ctx: Context) -> CaseResult {
    let appending = ctx.another().await?;
    for groups in [["a", "b", "c"], ["g", "g", "g"]] {
        let mut waiting = Vec::new();
        for (n, group) in groups.into_iter().enumerate() {
            let (handle, claim) = (ctx.another().await?, claim(groups[0], group, &format!("m{n}"))?.visibility(LONG));
            waiting.push(async move { timed(take_one(&handle, claim)).await });
        }
        let (taken, appended) = futures::join!(together(waiting), async {
            sleep(Duration::from_millis(150)).await;
            append(&appending, groups[0], &["1", "2", "3"]).await.map(|_| Instant::now())
        });
        let appended = appended?;
        for one in taken? {
            let late = one.answered.saturating_duration_since(appended);
            ensure!(
                late <= ctx.stream_slack() + ON_THE_WAY,
                "one of the groups {groups:?} was woken {late:?} after three records were there"
            );
        }
    }
    Ok(())
}

async fn a_claim_of_many_waits_for_the_first(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    append(&driver, "s", &["1"]).await?;
    let claimed = timed(driver.claim(&claim("s", "g", "m")?.max(10).wait(PATIENCE))).await?;
    let took = claimed.answered - claimed.sent;
    ensure!(
        claimed.value.len() == 1 && took <= ctx.stream_slack() + ON_THE_WAY,
        "a claim of ten with one there took {took:?}"
    );
    Ok(())
}

async fn a_long_wait_is_waited(ctx: Context) -> CaseResult {
    let wait = Duration::from_secs(6);
    let waited = timed(ctx.driver().claim(&claim("s", "g", "m")?.wait(wait))).await?;
    let took = waited.answered - waited.sent;
    ensure!(took >= wait.mul_f64(0.9), "a claim that waits {wait:?} ended after {took:?}");
    Ok(())
}

async fn visibility_counts_from_the_delivery(ctx: Context) -> CaseResult {
    let (driver, visibility) = (ctx.driver(), Duration::from_millis(600));
    let waiting = claim("s", "g", "m")?.visibility(visibility);
    let (held, appended) = futures::join!(timed(take_one(&driver, waiting)), async {
        sleep(visibility * 2 / 3).await;
        timed(append(&driver, "s", &["1"])).await
    });
    let (held, appended) = (held?, appended?);
    while Instant::now() < appended.sent + visibility {
        let early = driver.claim(&claim("s", "g", "m2")?).await?;
        ensure!(
            early.is_empty() || Instant::now() >= appended.sent + visibility,
            "what was taken after a wait is let go too early"
        );
        sleep(Duration::from_millis(10)).await;
    }
    let _ = held;
    Ok(())
}
