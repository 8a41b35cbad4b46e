//! What a message may hold.

use super::super::prelude::*;
use crate::failure::here;
use crate::readers::Listener;
use bytes::Bytes;

cases! { Messages "messages";
    any_bytes_are_a_payload [Messages] ANY_BYTES_ARE_A_PAYLOAD
        "A message arrives with its payload as it was published, whatever bytes it holds";
    an_empty_payload_arrives [Messages] ANY_BYTES_ARE_A_PAYLOAD
        "A message arrives with its payload as it was published, if that is empty too";
    payload_at_the_limit [Messages] ANY_BYTES_ARE_A_PAYLOAD
        "`limits.message`: a payload of exactly the limit is delivered";
    payload_over_the_limit_is_refused [Messages] PAYLOAD_OVER_THE_LIMIT_IS_REFUSED
        "Over the limit is `InvalidArgument` before anything is sent: a message's payload";
    equal_payloads_are_messages_each [Messages] MANY_PATTERNS_ON_ONE_HANDLE
        "Every message arrives, also if it is the same as the one before";
}

#[track_caller]
fn arrives(ctx: &Context, payload: Bytes) -> impl Future<Output = CaseResult> {
    here(async move {
        let driver = ctx.driver();
        let mut listener = Listener::open(&ctx.another().await?, "c").await?;
        driver.publish(&Channel::new("c")?, payload.clone()).await?;
        let told = listener.message().await?.payload;
        ensure!(told == payload, "{} bytes were published, {} other bytes arrived", payload.len(), told.len());
        Ok(())
    })
}

async fn any_bytes_are_a_payload(ctx: Context) -> CaseResult {
    arrives(&ctx, (0..=u8::MAX).collect()).await?;
    arrives(&ctx, Bytes::from_static(b"\r\n+PONG\r\n\0\0")).await?;
    arrives(&ctx, Bytes::from_static(&[1, 0xff, 0xfe])).await
}

async fn an_empty_payload_arrives(ctx: Context) -> CaseResult {
    arrives(&ctx, Bytes::new()).await
}

async fn payload_at_the_limit(ctx: Context) -> CaseResult {
    let random = std::iter::repeat_with(|| fastrand::u8(..)).take(ctx.capabilities().limits.message);
    arrives(&ctx, random.collect()).await
}

async fn payload_over_the_limit_is_refused(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let mut listener = Listener::open(&driver, "c").await?;
    let over = vec![0; ctx.capabilities().limits.message + 1];
    let published = driver.publish(&Channel::new("c")?, over.into()).await;
    fails_with(published, ErrorKind::InvalidArgument, "a payload over the limit")?;
    driver.publish(&Channel::new("c")?, "next".into()).await?;
    ensure_eq!(listener.text().await?.1, "next", "the next message");
    Ok(())
}

async fn equal_payloads_are_messages_each(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let mut listener = Listener::open(&driver, "c").await?;
    for _ in 0..10 {
        driver.publish(&Channel::new("c")?, "the same".into()).await?;
    }
    for _ in 0..10 {
        ensure_eq!(listener.text().await?.1, "the same", "the payload");
    }
    Ok(())
}
