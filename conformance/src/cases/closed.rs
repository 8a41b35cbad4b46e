//! What a closed handle says, and leaves alone.

use super::prelude::*;
use crate::stream_calls::{append, claim, take_one, text};
use linchpin_core::{Action, Retention, Retry, Settlement, StreamName};
use tokio::time::sleep;

cases! { Errors "errors";
    a_closed_handle_ends_no_other_claim [Streams] CLOSING_ONE_HANDLE_LEAVES_THE_OTHERS
        "Closing a handle leaves all others as they are";
    closed_settlements_leave_no_doubt [Streams] CLOSED_LEAVES_NO_DOUBT
        "What fails with `Closed` was surely not applied";
    closed_answers_no_empty_call [Streams] CLOSED_HANDLE_ANSWERS_CLOSED
        "After `close` every call fails with `Closed`";
}

async fn a_closed_handle_ends_no_other_claim(ctx: Context) -> CaseResult {
    let (driver, other, appending) = (ctx.driver(), ctx.another().await?, ctx.another().await?);
    let (taken, closed) = futures::join!(take_one(&driver, claim("s", "g", "m")?), async {
        sleep(Duration::from_millis(150)).await;
        other.close().await?;
        sleep(Duration::from_millis(150)).await;
        append(&appending, "s", &["1"]).await
    });
    closed?;
    ensure_eq!(text(&taken?), "1", "what a claim was given that waited while another handle was closed");
    Ok(())
}

async fn closed_settlements_leave_no_doubt(ctx: Context) -> CaseResult {
    let (driver, stream) = (ctx.driver(), StreamName::new("s")?);
    append(&driver, "s", &["1"]).await?;
    let receipt = take_one(&driver, claim("s", "g", "m")?).await?.receipt;
    driver.close().await?;
    let errors = [
        driver.settle(&[Settlement { receipt: receipt.clone(), action: Action::Ack }]).await.err(),
        driver.trim(&stream, Retention::Newest(0)).await.err(),
        driver.remove_group(&stream, &receipt.group).await.err(),
    ];
    for error in errors {
        let says = error.map(|e| (e.kind(), e.retry(), e.maybe_applied()));
        ensure_eq!(says, Some((ErrorKind::Closed, Retry::Never, false)), "what the error of a closed handle says");
    }
    Ok(())
}

async fn closed_answers_no_empty_call(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    driver.close().await?;
    fails_with(driver.append(&StreamName::new("s")?, &[]).await, ErrorKind::Closed, "appending nothing")?;
    fails_with(driver.settle(&[]).await, ErrorKind::Closed, "settling nothing")?;
    fails_with(driver.commit(&Transaction::new()).await, ErrorKind::Closed, "committing nothing")?;
    Ok(())
}
