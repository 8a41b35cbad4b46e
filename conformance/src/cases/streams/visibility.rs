//! Visibility: for how long a delivered record is one member's alone.

use super::super::prelude::*;
use crate::failure::here;
use crate::stream_calls::{append, claim, settle_own, take_nothing, take_one};
use crate::waiting::{LONG, Timed, timed};
use linchpin_core::{Action, Claim, Delivery};

cases! { Streams "streams";
    an_abandoned_record_comes_again [Streams] ABANDONED_RECORD_COMES_AGAIN + COMPONENTS_CONTRIB_4174
        "A claim is exclusive until its visibility time passes, then the record is redelivered with a higher delivery count";
    every_redelivery_counts [Streams] EVERY_REDELIVERY_COUNTS + OMNIQUEUE_RS_102
        "Redelivered with a higher delivery count, each time";
    each_claim_has_its_visibility [Streams] CLAIM_IS_EXCLUSIVE
        "`Claim::visibility`: for how long a delivered record is this member's alone, whatever others asked for";
    visibility_counts_from_the_claim [Streams] CLAIM_IS_EXCLUSIVE + OMNIQUEUE_RS_102
        "`Claim::visibility` counts from the claim, however long the record had been there before";
    an_extended_record_is_kept [Streams] EXTENDED_RECORD_IS_KEPT
        "`Extend`: keep it for this long from now";
    an_extended_record_is_let_go_in_time [Streams] EXTENDED_RECORD_IS_KEPT
        "`Extend`: keep it for this long from now, and no longer, also if that is shorter than before";
}

/// Claims again and again until the record comes; it must come in the window after the call.
#[track_caller]
fn comes_again(
    ctx: &Context,
    driver: &Arc<dyn Driver>,
    held: &Timed<Delivery>,
    after: Duration,
    claim: &Claim,
) -> impl Future<Output = Result<Timed<Delivery>, Failure>> {
    here(async move {
        let look = async || {
            let claimed = timed(driver.claim(claim)).await?;
            let (sent, answered) = (claimed.sent, claimed.answered);
            Ok(claimed.value.into_iter().next().map(|value| Timed { value, sent, answered }))
        };
        let again = held.window(after, ctx.stream_slack()).sees("the redelivery", look).await?;
        ensure_eq!(again.value.receipt.position, held.value.receipt.position, "the position");
        ensure_eq!(again.value.receipt.delivery, held.value.receipt.delivery + 1, "the delivery count");
        Ok(again)
    })
}

async fn an_abandoned_record_comes_again(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    append(&driver, "s", &["abandoned"]).await?;
    let visibility = Duration::from_millis(300);
    let held = timed(take_one(&driver, claim("s", "g", "m1")?.visibility(visibility))).await?;
    comes_again(&ctx, &ctx.another().await?, &held, visibility, &claim("s", "g", "m2")?).await?;
    Ok(())
}

async fn every_redelivery_counts(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    append(&driver, "s", &["abandoned"]).await?;
    let visibility = Duration::from_millis(100);
    let claim = claim("s", "g", "m")?.visibility(visibility);
    let mut held = timed(take_one(&driver, claim.clone())).await?;
    for _ in 0..4 {
        held = comes_again(&ctx, &driver, &held, visibility, &claim).await?;
    }
    ensure_eq!(held.value.receipt.delivery, 5, "the delivery count");
    Ok(())
}

async fn each_claim_has_its_visibility(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    append(&driver, "s", &["long", "short"]).await?;
    take_one(&driver, claim("s", "g", "m1")?.visibility(LONG)).await?;
    let short = Duration::from_millis(200);
    let held = timed(take_one(&driver, claim("s", "g", "m2")?.visibility(short))).await?;
    comes_again(&ctx, &driver, &held, short, &claim("s", "g", "m3")?.visibility(LONG)).await?;
    take_nothing(&driver, &claim("s", "g", "m4")?, "both records are claimed for long").await
}

async fn an_extended_record_is_kept(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    append(&driver, "s", &["kept"]).await?;
    let visibility = Duration::from_millis(400);
    let held = timed(take_one(&driver, claim("s", "g", "m1")?.visibility(visibility))).await?;
    settle_own(&driver, &held.value, Action::Extend { visibility: LONG }).await?;
    held.window(visibility, ctx.stream_slack()).has_passed().await;
    take_nothing(&driver, &claim("s", "g", "m2")?, "the claim was extended").await?;
    settle_own(&driver, &held.value, Action::Ack).await
}

async fn an_extended_record_is_let_go_in_time(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    append(&driver, "s", &["let go"]).await?;
    let held = take_one(&driver, claim("s", "g", "m1")?.visibility(LONG)).await?;
    let shorter = Duration::from_millis(250);
    let extended = timed(settle_own(&driver, &held, Action::Extend { visibility: shorter })).await?;
    let held = Timed { value: held, sent: extended.sent, answered: extended.answered };
    comes_again(&ctx, &driver, &held, shorter, &claim("s", "g", "m2")?).await?;
    Ok(())
}

async fn visibility_counts_from_the_claim(ctx: Context) -> CaseResult {
    let (driver, visibility) = (ctx.driver(), Duration::from_millis(400));
    let appended = timed(append(&driver, "s", &["old"])).await?;
    appended.window(visibility, ctx.stream_slack()).has_passed().await;
    let held = timed(take_one(&driver, claim("s", "g", "m1")?.visibility(visibility))).await?;
    let second = claim("s", "g", "m2")?.visibility(visibility);
    let again = comes_again(&ctx, &ctx.another().await?, &held, visibility, &second).await?;
    comes_again(&ctx, &driver, &again, visibility, &claim("s", "g", "m3")?).await?;
    Ok(())
}
