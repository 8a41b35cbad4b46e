//! Claiming.

use super::super::prelude::*;
use crate::stream_calls::{append, claim, settle_own, take, take_nothing, take_one, text};
use crate::waiting::{LONG, PATIENCE, together};
use linchpin_core::Action;
use std::collections::HashSet;

cases! { Streams "streams";
    a_claim_is_exclusive [Streams] CLAIM_IS_EXCLUSIVE + COMPONENTS_CONTRIB_4577
        "A member's claim is exclusive until settled or its visibility time passes";
    a_claim_brings_no_more_than_asked [Streams] CLAIM_BRINGS_NO_MORE_THAN_ASKED
        "`Claim::max`: how many records at most";
    a_claim_of_nothing_looks_once [Streams] WAITING_CLAIM_WAKES_FOR_A_RECORD
        "A claim that does not wait looks once: empty if nothing is there";
    first_deliveries_are_in_order [Streams] FIRST_DELIVERIES_ARE_IN_ORDER
        "Records are appended in their order, and delivered for the first time in it";
    members_share_the_records [Streams] MEMBERS_SHARE_THE_RECORDS
        "A group sees every record; each record goes to one of its members";
    concurrent_claims_are_disjoint [Streams] MEMBERS_SHARE_THE_RECORDS + COMPONENTS_CONTRIB_4577
        "A member's claim is exclusive, however many claim at the same time";
    streams_do_not_mix [Streams] EVERY_GROUP_SEES_EVERY_RECORD
        "A claim brings records of its stream";
}

async fn a_claim_is_exclusive(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    append(&driver, "s", &["only"]).await?;
    take_one(&driver, claim("s", "g", "m1")?.visibility(LONG)).await?;
    let other = ctx.another().await?;
    take_nothing(&other, &claim("s", "g", "m2")?, "the record is claimed by m1").await?;
    take_nothing(&driver, &claim("s", "g", "m1")?, "the record is claimed already").await
}

async fn a_claim_brings_no_more_than_asked(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    append(&driver, "s", &["1", "2", "3", "4", "5"]).await?;
    let some = driver.claim(&claim("s", "g", "m")?.max(3).wait(PATIENCE)).await?;
    ensure!((1..=3).contains(&some.len()), "a claim of at most 3 brought {}", some.len());
    let rest = take(&driver, claim("s", "g", "m")?.max(100), 5 - some.len()).await?;
    let positions: HashSet<_> = some.iter().chain(&rest).map(|delivery| delivery.receipt.position).collect();
    ensure_eq!(positions.len(), 5, "the distinct records delivered");
    Ok(())
}

async fn a_claim_of_nothing_looks_once(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    take_nothing(&driver, &claim("nobody", "g", "m")?, "nobody appended to the stream").await?;
    append(&driver, "s", &["1"]).await?;
    let delivery = take_one(&driver, claim("s", "g", "m")?).await?;
    settle_own(&driver, &delivery, Action::Ack).await?;
    take_nothing(&driver, &claim("s", "g", "m")?, "every record is settled").await
}

async fn first_deliveries_are_in_order(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let texts: Vec<_> = (0..60).map(|n| n.to_string()).collect();
    for some in texts.chunks(20) {
        append(&driver, "s", &some.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    }
    let mut told = Vec::new();
    while told.len() < 60 {
        let some = take(&driver, claim("s", "g", "m")?, 7.min(60 - told.len())).await?;
        told.extend(some.iter().map(text));
    }
    ensure_eq!(told, texts, "the payloads in the order of delivery");
    Ok(())
}

async fn members_share_the_records(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    append(&driver, "s", &["1", "2", "3", "4"]).await?;
    let mut told = Vec::new();
    for n in 0..4 {
        let handle = if n % 2 == 0 { ctx.driver() } else { ctx.another().await? };
        let delivery = take_one(&handle, claim("s", "g", &format!("m{n}"))?).await?;
        told.push(text(&delivery));
        settle_own(&handle, &delivery, Action::Ack).await?;
    }
    told.sort_unstable();
    ensure_eq!(told, ["1", "2", "3", "4"], "the payloads that the members were given");
    Ok(())
}

async fn concurrent_claims_are_disjoint(ctx: Context) -> CaseResult {
    const ALL: usize = 120;
    let driver = ctx.driver();
    let texts: Vec<_> = (0..ALL).map(|n| n.to_string()).collect();
    append(&driver, "s", &texts.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    let mut members = Vec::new();
    for n in 0..5 {
        let (handle, claim) = (ctx.another().await?, claim("s", "g", &format!("m{n}"))?.max(4));
        members.push(async move {
            let mut taken = Vec::new();
            loop {
                let some = handle.claim(&claim).await?;
                if some.is_empty() {
                    return Ok(taken);
                }
                for delivery in &some {
                    settle_own(&handle, delivery, Action::Ack).await?;
                }
                taken.extend(some.iter().map(text));
            }
        });
    }
    let mut told = together(members).await?.concat();
    // A claim that looks once may have found nothing while others held everything.
    while told.len() < ALL {
        told.extend(take(&driver, claim("s", "g", "last")?, 1).await?.iter().map(text));
    }
    let distinct: HashSet<_> = told.iter().collect();
    ensure_eq!((told.len(), distinct.len()), (ALL, ALL), "deliveries, and distinct records among them");
    Ok(())
}

async fn streams_do_not_mix(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    for stream in ["a", "ab", "a/b"] {
        append(&driver, stream, &[stream]).await?;
    }
    for stream in ["a/b", "a", "ab"] {
        let delivery = take_one(&driver, claim(stream, "g", "m")?).await?;
        ensure_eq!(text(&delivery), stream, "the payload of the record in {stream:?}");
        ensure_eq!(delivery.receipt.stream.as_str(), stream, "the stream of its receipt");
        take_nothing(&driver, &claim(stream, "g", "m")?, "the only record is claimed").await?;
    }
    Ok(())
}
