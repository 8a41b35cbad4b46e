//! `publish_with_ack`.

use super::super::prelude::*;
use crate::readers::next_message;
use crate::waiting::{ON_THE_WAY, PATIENCE, timed};
use linchpin_core::MessageStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

cases! { Port "port";
    an_acknowledged_message_returns [Messages] ACKNOWLEDGED_MESSAGE_RETURNS
        "`publish_with_ack` waits until a subscriber took the message out of its stream, and returns how many have";
    the_message_arrives_as_any_other [Messages] MESSAGE_ARRIVES_AS_ANY_OTHER
        "`publish_with_ack`: the subscriber gets the message as it was published";
    the_first_acknowledgement_is_enough [Messages] FIRST_ACKNOWLEDGEMENT_IS_ENOUGH
        "`publish_with_ack` returns as soon as one subscriber has taken the message";
    nobody_taking_it_is_a_timeout [Messages] NOBODY_TAKING_IT_IS_A_TIMEOUT
        "`publish_with_ack`: `Timeout` if no subscriber took the message in time";
    nobody_subscribed_is_told [Messages] NOBODY_SUBSCRIBED_IS_TOLD
        "`publish_with_ack`: `NoSubscribers` at once where the backend can know that nobody is subscribed";
    acknowledgements_are_not_mixed_up [Messages] ACKNOWLEDGEMENTS_ARE_NOT_MIXED_UP
        "`publish_with_ack` returns the acknowledgements of its message, and of no other";
    closing_ends_a_wait_for_acknowledgements [Messages] CLOSING_ENDS_A_WAIT_FOR_ACKNOWLEDGEMENTS
        "`close` ends every wait of its handle with `Closed`, within a second: that for an acknowledgement";
}

/// Takes messages out of a stream in the background, as subscribers do.
fn read_on(tasks: &mut JoinSet<()>, mut stream: MessageStream) {
    use futures::StreamExt;
    tasks.spawn(async move { while let Some(Ok(_)) = stream.next().await {} });
}

async fn an_acknowledged_message_returns(ctx: Context) -> CaseResult {
    let mut reading = JoinSet::new();
    read_on(&mut reading, ctx.another_port().await?.subscribe("orders:*").await?);
    for n in 0..10_u8 {
        let acked = ctx.port().publish_with_ack("orders:7", &[n], PATIENCE).await?;
        ensure_eq!(acked, 1, "the acknowledgements of the only subscriber");
    }
    Ok(())
}

async fn the_message_arrives_as_any_other(ctx: Context) -> CaseResult {
    let (publisher, subscriber) = (ctx.port(), ctx.another_port().await?);
    let mut stream = subscriber.subscribe("c").await?;
    let payload: Vec<u8> = (0..=u8::MAX).collect();
    for payload in [&payload[..], b""] {
        let (acked, message) =
            futures::join!(publisher.publish_with_ack("c", payload, PATIENCE), next_message(&mut stream));
        let message = message?;
        ensure_eq!((message.channel.as_str(), &message.payload[..]), ("c", payload), "channel and payload");
        ensure!(message.timestamp.is_some(), "the message does not tell when it was published");
        ensure_eq!(acked?, 1, "the acknowledgements");
    }
    Ok(())
}

async fn the_first_acknowledgement_is_enough(ctx: Context) -> CaseResult {
    let port = ctx.port();
    let mut reading = JoinSet::new();
    // It never takes anything, and need not.
    let _idle = ctx.another_port().await?.subscribe("c").await?;
    read_on(&mut reading, port.subscribe("c").await?);
    let acked = timed(port.publish_with_ack("c", b"1", PATIENCE)).await?;
    ensure!((1..=2).contains(&acked.value), "{} acknowledgements by two subscribers", acked.value);
    let took = acked.answered - acked.sent;
    ensure!(took < PATIENCE / 2, "it waited {took:?} although one subscriber had taken the message");
    Ok(())
}

async fn nobody_taking_it_is_a_timeout(ctx: Context) -> CaseResult {
    let port = ctx.port();
    let _idle = ctx.another_port().await?.subscribe("c").await?;
    let timeout = Duration::from_millis(300);
    let waited = timed(async { Ok::<_, Failure>(port.publish_with_ack("c", b"1", timeout).await) }).await?;
    let error = fails_with(waited.value, ErrorKind::Timeout, "a message that nobody takes")?;
    ensure!(error.maybe_applied(), "the message was sent, but the error says that it was not");
    ensure_eq!(error.subject(), Some("c"), "the channel");
    let took = waited.answered - waited.sent;
    ensure!(took >= timeout && took <= timeout + ON_THE_WAY, "a timeout of {timeout:?} took {took:?}");
    Ok(())
}

async fn nobody_subscribed_is_told(ctx: Context) -> CaseResult {
    let port = ctx.port();
    let _other = port.subscribe("other").await?;
    let knows = ctx.capabilities().messages.is_some_and(|messages| messages.knows_nobody);
    let (timeout, kind) =
        if knows { (PATIENCE, ErrorKind::NoSubscribers) } else { (PATIENCE / 10, ErrorKind::Timeout) };
    let waited = timed(async { Ok::<_, Failure>(port.publish_with_ack("nobody", b"1", timeout).await) }).await?;
    fails_with(waited.value, kind, "a message to nobody")?;
    let took = waited.answered - waited.sent;
    ensure!(!knows || took < timeout / 2, "nobody is subscribed, but that was told only after {took:?}");
    Ok(())
}

async fn acknowledgements_are_not_mixed_up(ctx: Context) -> CaseResult {
    let port = ctx.port();
    let mut reading = JoinSet::new();
    read_on(&mut reading, ctx.another_port().await?.subscribe("read").await?);
    let _idle = ctx.another_port().await?.subscribe("idle").await?;
    let timeout = Duration::from_millis(400);
    let (read, again, idle) = futures::join!(
        port.publish_with_ack("read", b"1", PATIENCE),
        port.publish_with_ack("read", b"2", PATIENCE),
        port.publish_with_ack("idle", b"3", timeout),
    );
    ensure_eq!((read?, again?), (1, 1), "the acknowledgements of two messages");
    fails_with(idle, ErrorKind::Timeout, "a message that nobody takes, while others are taken")?;
    Ok(())
}

async fn closing_ends_a_wait_for_acknowledgements(ctx: Context) -> CaseResult {
    let driver = ctx.another().await?;
    let port: Arc<dyn DistributedCoordination> = Arc::new(linchpin_core::Port::over(driver.clone()));
    let _idle = ctx.another_port().await?.subscribe("c").await?;
    let closing = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let closed = Instant::now();
        driver.close().await.map(|()| closed)
    };
    let waited = timed(async { Ok::<_, Failure>(port.publish_with_ack("c", b"1", PATIENCE).await) });
    let (waited, closed) = futures::join!(waited, closing);
    let (waited, closed) = (waited?, closed?);
    let error = fails_with(waited.value, ErrorKind::Closed, "a wait for acknowledgements whose handle was closed")?;
    ensure!(error.maybe_applied(), "the message was sent, but the error says that it was not");
    let late = waited.answered.saturating_duration_since(closed);
    ensure!(late <= Duration::from_secs(1) + ON_THE_WAY, "it ended {late:?} after its handle was closed");
    Ok(())
}
