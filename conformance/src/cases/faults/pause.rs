//! A server whose clock stands still: connections are open and nobody answers.

use super::super::prelude::*;
use super::{ATTEMPT, impatient, in_time, until_back};
use crate::waiting::{LONG, eventually, soon};
use linchpin_core::{Channel, Claim, GroupName, MemberName, Pattern, Range, Record, Retry, StreamName};

cases! { Faults "faults";
    a_silent_server_is_a_timeout [] SILENT_SERVER_IS_A_TIMEOUT
        "A server that does not answer is `Timeout` or `Unavailable` within the time that an attempt has: nothing hangs";
    a_timed_out_write_is_unknown [] TIMED_OUT_WRITE_IS_UNKNOWN
        "A timeout of a write is `Unknown`, not failure: it may have been applied, and a read is not";
    what_is_refused_needs_no_server [] WHAT_IS_REFUSED_NEEDS_NO_SERVER
        "Bad input is refused before anything is sent, also while the server does not answer";
    health_of_a_silent_server_is_an_error [] HEALTH_OF_A_SILENT_SERVER_IS_AN_ERROR
        "`health` is an error if the backend does not answer, and answers again when it does";
    a_claim_beside_one_that_waits_is_told_of_an_outage [Streams] CLAIM_BESIDE_ONE_THAT_WAITS_IS_TOLD_OF_AN_OUTAGE
        "A claim that waits says that there is nothing only if the server said so, also while another waits in its group";
    all_goes_on_after_a_pause [] ALL_GOES_ON_AFTER_A_PAUSE
        "After a pause everything works as before: calls, subscriptions, watches and claims";
}

async fn a_silent_server_is_a_timeout(ctx: Context) -> CaseResult {
    let node = impatient(ctx.driver()).await?;
    let (key, channel, pattern) = (Key::new("k")?, Channel::new("c")?, Pattern::new("*")?);
    let (stream, range) = (StreamName::new("s")?, Range::all());
    let claim = Claim::new(stream.clone(), GroupName::new("g")?, MemberName::new("m")?);
    ctx.faults()?.pause().await?;
    let driver = node.driver();
    let mut failures = vec![
        ("get", in_time("get", driver.get(std::slice::from_ref(&key))).await?.err()),
        ("scan", in_time("scan", driver.scan(&range, &linchpin_core::Page::first())).await?.err()),
        ("commit", in_time("commit", driver.commit(&Transaction::new().delete(key))).await?.err()),
    ];
    let declared = ctx.capabilities();
    if declared.messages.is_some() {
        failures.push(("publish", in_time("publish", driver.publish(&channel, "m".into())).await?.err()));
        failures.push(("subscribe", in_time("subscribe", driver.subscribe(&pattern)).await?.err()));
    }
    if declared.streams.is_some() {
        failures.push(("append", in_time("append", driver.append(&stream, &[Record::new("r")])).await?.err()));
        failures.push(("claim", in_time("claim", driver.claim(&claim)).await?.err()));
        failures.push(("inspect", in_time("inspect", driver.inspect(&stream)).await?.err()));
    }
    for (call, failed) in failures {
        let error = failed.ok_or_else(|| Failure::new(format!("{call} succeeded while the server stood still")))?;
        let expected = matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Unavailable);
        ensure!(expected, "{call} of a silent server: expected timeout or unavailable, got {error}");
    }
    ctx.faults()?.resume().await?;
    until_back("a read after the pause", || driver.get(&[])).await.map(drop)
}

async fn a_timed_out_write_is_unknown(ctx: Context) -> CaseResult {
    let node = impatient(ctx.driver()).await?;
    ctx.faults()?.pause().await?;
    let error = fails_with(in_time("set", node.set("k", b"v", None)).await?, ErrorKind::Timeout, "a write")?;
    ensure!(error.maybe_applied(), "a write that timed out says that it was not applied: {error}");
    ensure!(error.to_string().contains("may have been applied"), "the text does not say so: {error}");
    let error = fails_with(in_time("get", node.get("k")).await?, ErrorKind::Timeout, "a read")?;
    ensure!(!error.maybe_applied(), "a read says that it may have been applied: {error}");
    ctx.faults()?.resume().await
}

async fn what_is_refused_needs_no_server(ctx: Context) -> CaseResult {
    let node = impatient(ctx.driver()).await?;
    let limit = ctx.capabilities().limits.value;
    ctx.faults()?.pause().await?;
    let started = std::time::Instant::now();
    let refused = [
        ("an empty key", node.set("", b"v", None).await.err()),
        ("a NUL", node.get("a\0b").await.map(drop).err()),
        ("a value over the limit", node.set("k", &vec![0; limit + 1], None).await.err()),
        ("a ttl of nothing", node.set("k", b"v", Some(Duration::ZERO)).await.err()),
        ("a pattern without end", node.subscribe("[a").await.map(drop).err()),
        ("a node without a name", node.register_node("", None).await.err()),
        ("a lock for no time", node.lock("l").ttl(Duration::ZERO).acquire().await.map(drop).err()),
    ];
    let took = started.elapsed();
    for (what, refused) in refused {
        let error = refused.ok_or_else(|| Failure::new(format!("{what} was taken")))?;
        let known = matches!(error.kind(), ErrorKind::InvalidArgument | ErrorKind::Unsupported);
        ensure!(known && error.retry() == Retry::Never, "{what}: expected invalid argument, got {error}");
    }
    ensure!(took < ATTEMPT, "refusing took {took:?}: something was sent");
    ctx.faults()?.resume().await
}

async fn health_of_a_silent_server_is_an_error(ctx: Context) -> CaseResult {
    let node = impatient(ctx.driver()).await?;
    ensure!(node.health_check().await?, "a healthy server is not healthy");
    ctx.faults()?.pause().await?;
    let silent = in_time("health", node.health_check()).await?;
    ensure!(silent.is_err(), "a server that does not answer is called healthy or degraded");
    ctx.faults()?.resume().await?;
    let look = async || Ok(node.health_check().await.unwrap_or(false).then_some(()));
    eventually("the server is healthy again", look).await
}

async fn a_claim_beside_one_that_waits_is_told_of_an_outage(ctx: Context) -> CaseResult {
    let node = impatient(ctx.driver()).await?;
    let claim = Claim::new(StreamName::new("s")?, GroupName::new("g")?, MemberName::new("m")?);
    let (waiting, long) = (node.clone(), claim.clone().wait(LONG));
    let long = tokio::spawn(async move { waiting.driver().claim(&long).await });
    let short = claim.wait(ATTEMPT / 2);
    let nothing = soon("a claim of nothing", node.driver().claim(&short)).await??;
    ensure!(nothing.is_empty() && !long.is_finished(), "there was something to claim: {nothing:?}");
    ctx.faults()?.pause().await?;
    for _ in 0..3 {
        let asked = soon("a claim of a silent server", node.driver().claim(&short)).await?;
        let Err(error) = asked else {
            return Err(Failure::new("a claim says that there is nothing while the server stands still"));
        };
        let expected = matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Unavailable);
        ensure!(expected, "a claim of a silent server: expected timeout or unavailable, got {error}");
    }
    ctx.faults()?.resume().await?;
    long.abort();
    until_back("a claim after the pause", || node.driver().claim(&short)).await.map(drop)
}

async fn all_goes_on_after_a_pause(ctx: Context) -> CaseResult {
    let node = super::patient(ctx.driver()).await?;
    super::restart::goes_on(&ctx, &node, async || {
        ctx.faults()?.pause().await?;
        tokio::time::sleep(ATTEMPT * 2).await;
        ctx.faults()?.resume().await
    })
    .await
}
