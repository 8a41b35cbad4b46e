//! Connections that somebody closes while they are idle.

use super::{END_ALL, SOON, ask, connect, key, server};
use futures::StreamExt;
use linchpin::{
    Action, Channel, Claim, Driver, GroupName, MemberName, Pattern, Record, Result, Settlement, StreamName,
    SubscriptionEvent, Transaction,
};
use linchpin_tests::servers::PostgresServer;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// A connection that was used just now is used again without a look.
pub(super) const UNSURE: Duration = Duration::from_millis(300);

/// Does each thing that may not be done twice, after something happened to the connection that it would go over.
async fn each(postgres: &Arc<dyn Driver>, happens: impl AsyncFn()) -> Result<()> {
    let stream = StreamName::new("s").expect("valid");
    let (group, member) = (GroupName::new("g").expect("valid"), MemberName::new("m").expect("valid"));
    postgres.append(&stream, &[Record::new("r")]).await?;
    let claimed = postgres.claim(&Claim::new(stream.clone(), group, member)).await?;

    happens().await;
    postgres.publish(&Channel::new("c").expect("valid"), "m".into()).await?;
    happens().await;
    let receipt = claimed.into_iter().next().expect("a record").receipt;
    postgres.settle(&[Settlement { receipt, action: Action::Ack }]).await?;
    happens().await;
    postgres.append(&stream, &[Record::new("r")]).await?;
    happens().await;
    postgres.commit(&Transaction::new().add(key("n"), 1, None)).await?;
    happens().await;
    postgres.inspect(&stream).await?;
    happens().await;
    postgres.health().await.map(drop)
}

#[tokio::test]
async fn a_connection_that_the_server_closed_as_it_was_idle_is_not_used() {
    let server = PostgresServer::start_local(&["-c", "idle_session_timeout=200ms"]).await.expect("a server");
    let postgres = connect(&server.url()).await;
    each(&postgres, async || sleep(Duration::from_millis(500)).await).await.expect("nothing fails");
    let closed = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'linchpin' AND state = 'idle'";
    sleep(Duration::from_millis(500)).await;
    assert_eq!(ask(&server, closed).await, "0", "the server closed none");
}

#[tokio::test]
async fn a_connection_to_a_server_that_was_restarted_is_not_used() {
    let server = server().await;
    let postgres = connect(&server.url()).await;
    let restarts = async || {
        server.restart().await.expect("restarted");
        sleep(UNSURE).await;
    };
    each(&postgres, restarts).await.expect("nothing fails");
}

#[tokio::test]
async fn a_connection_that_an_administrator_ended_is_not_used() {
    let server = server().await;
    let postgres = connect(&server.url()).await;
    let left = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'linchpin'";
    let ends = async || {
        ask(&server, END_ALL).await;
        while ask(&server, left).await != "0" {}
        sleep(UNSURE).await;
    };
    each(&postgres, ends).await.expect("nothing fails");
}

#[tokio::test]
async fn what_is_quiet_is_listened_to_however_long() {
    let server = PostgresServer::start_local(&["-c", "idle_session_timeout=300ms"]).await.expect("a server");
    let postgres = connect(&server.url()).await;
    let mut messages = postgres.subscribe(&Pattern::new("*").expect("valid")).await.expect("a subscription");
    let quiet = timeout(Duration::from_secs(3), messages.next()).await;
    assert!(quiet.is_err(), "it missed something: {quiet:?}");
    postgres.publish(&Channel::new("c").expect("valid"), "m".into()).await.expect("published");
    let told = timeout(SOON, messages.next()).await.expect("in time").expect("open").expect("no error");
    assert!(matches!(told, SubscriptionEvent::Message(message) if message.payload == "m"));
}
