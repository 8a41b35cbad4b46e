//! What a leader can rely on, and what becomes of one that is cut off.

use super::super::prelude::*;
use crate::recipes::{called, coordinator, kept, keys_in, node, remove, short};
use crate::waiting::{LONG, eventually, soon};
use linchpin::election::CANDIDATES;
use linchpin_core::{Area, DEFAULT_GROUP};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

cases! { Election "election";
    a_leadership_outlives_its_ttl [Ttl, Watch] LEADERSHIP_OUTLIVES_ITS_TTL
        "A leadership is renewed at a third of its TTL: it is held for longer while its holder lives";
    the_leader_knows_before_the_next_leads [Ttl, Watch] LEADER_KNOWS_BEFORE_THE_NEXT_LEADS + CURATOR_1121
        "Past its own deadline a leader counts itself out, before the backend can pass the leadership on";
    a_removed_leader_is_lost [Ttl, Watch] REMOVED_LEADER_IS_LOST
        "A leadership that was removed from behind its holder is reported lost with the next renewal";
    a_stale_term_writes_nothing [Ttl, Watch, MultiKey] STALE_TERM_WRITES_NOTHING
        "A guarded write is refused unless this term is the newest, whatever the leadership believes";
    a_guarded_write_follows_a_proclamation [Ttl, Watch, MultiKey] STALE_TERM_WRITES_NOTHING
        "A leader that has proclaimed still writes under its term";
    proclaiming_keeps_the_term [Ttl, Watch] PROCLAIMING_KEEPS_THE_TERM
        "`proclaim` tells something new in the same term, and the leadership is renewed as before";
    a_lost_leader_proclaims_nothing [Ttl, Watch] LOST_LEADER_PROCLAIMS_NOTHING + CURATOR_1121
        "A leader that has lost proclaims nothing, and resigning late spares the next leader";
    a_body_runs_while_it_leads [Ttl, Watch] BODY_RUNS_WHILE_IT_LEADS
        "`run_while_leader` runs the body while this node leads and resigns after it";
    a_body_ends_with_the_leadership [Ttl, Watch] BODY_RUNS_WHILE_IT_LEADS
        "If the leadership is lost the body of `run_while_leader` is dropped before it can pass to another";
    try_run_while_leader_does_not_wait [Ttl, Watch] TRY_RUN_WHILE_LEADER_DOES_NOT_WAIT
        "`try_run_while_leader` runs the body where nobody leads and resigns after, and runs nothing where somebody does";
    resigning_frees_the_seat [Ttl, Watch] RESIGNING_FREES_THE_SEAT
        "A leadership is free once `resign` has returned, also where another of the same process asks for it meanwhile";
    an_election_tells_what_happens [Ttl, Watch] ELECTION_TELLS_WHAT_HAPPENS
        "The callbacks tell of each election with its term, of each failed renewal, and once of the loss";
    shutdown_spares_others_of_its_name [Ttl, Watch] SHUTDOWN_SPARES_OTHERS_OF_ITS_NAME
        "`shutdown` takes back what this coordinator said, and nothing that another of the same node id did";
    shutdown_resigns [Ttl, Watch] SHUTDOWN_SPARES_OTHERS_OF_ITS_NAME
        "`shutdown` resigns every leadership and candidacy";
    a_dropped_leadership_resigns [Ttl, Watch] DROPPED_LEADERSHIP_RESIGNS
        "Dropping a leadership resigns in the background";
}

async fn a_leadership_outlives_its_ttl(ctx: Context) -> CaseResult {
    let (one, other, ttl) = (coordinator(&ctx).await?, coordinator(&ctx).await?, kept(&ctx));
    let leads = one.election("e").ttl(ttl).campaign().await?;
    let election = other.election("e");
    let waits = tokio::time::timeout(ttl * 3, election.campaign()).await;
    ensure!(waits.is_err(), "another was elected while the leader lives");
    ensure!(leads.is_leader(), "the leader that lives says lost");
    Ok(())
}

async fn the_leader_knows_before_the_next_leads(ctx: Context) -> CaseResult {
    let (doomed, its_driver) = node(&ctx).await?;
    let ttl = short(&ctx);
    let asked = Instant::now();
    let leads = doomed.election("e").ttl(ttl).campaign().await?;
    its_driver.close().await?;
    let lost = async {
        leads.lost().await;
        Instant::now()
    };
    let election = coordinator(&ctx).await?.election("e");
    let next = async { election.campaign().await.map(|leads| (leads, Instant::now())) };
    let (lost, next) = soon("the loss and the next leader", futures::future::join(lost, next)).await?;
    let (next, elected) = next?;
    ensure!(lost < elected, "the next one led {:?} before the leader knew", lost - elected);
    ensure!(elected - asked >= ttl, "it passed on after {:?}, before its TTL", elected - asked);
    ensure!(!leads.is_leader() && next.term() > leads.term(), "the old leader leads, or its term is newer");
    Ok(())
}

async fn a_removed_leader_is_lost(ctx: Context) -> CaseResult {
    let leads = coordinator(&ctx).await?.election("e").ttl(short(&ctx)).campaign().await?;
    remove(&ctx.driver(), Area::ELECTIONS).await?;
    soon("the loss", leads.lost()).await?;
    ensure!(!leads.is_leader(), "the leadership says held");
    Ok(())
}

async fn a_stale_term_writes_nothing(ctx: Context) -> CaseResult {
    let (one, other) = (coordinator(&ctx).await?, coordinator(&ctx).await?);
    let stale = one.election("e").campaign().await?;
    remove(&ctx.driver(), Area::ELECTIONS).await?;
    let newer = other.election("e").campaign().await?;
    newer.put("state", "new").await?;
    ensure!(stale.is_leader(), "the case is about a leader that does not know yet");
    fails_with(stale.put("state", "old").await, ErrorKind::Lost, "a write under a stale term")?;
    let transaction = Transaction::new().delete(Area::USER.key("state")?);
    fails_with(stale.commit(transaction).await, ErrorKind::Lost, "a transaction under a stale term")?;
    ensure!(!stale.is_leader(), "a leadership whose write was refused as lost says held");
    ensure_eq!(other.get("state").await?, Some(b"new".to_vec()), "what the newer leader wrote");
    Ok(())
}

async fn a_guarded_write_follows_a_proclamation(ctx: Context) -> CaseResult {
    let node = coordinator(&ctx).await?;
    let leads = node.election("e").campaign().await?;
    for round in ["1", "2", "3"] {
        leads.proclaim(round).await?;
        leads.put("state", round).await?;
        ensure_eq!(node.get("state").await?, Some(round.into()), "what the leader wrote");
    }
    // The check is a part of the transaction: under an id of its own it would be another after a proclamation.
    let named = Transaction::new().delete(Area::USER.key("state")?).with_id(linchpin_core::TransactionId(7));
    fails_with(leads.commit(named).await, ErrorKind::InvalidArgument, "a leader's transaction with an id")?;
    Ok(())
}

async fn proclaiming_keeps_the_term(ctx: Context) -> CaseResult {
    let (node, ttl) = (coordinator(&ctx).await?, kept(&ctx));
    let leads = node.election("e").ttl(ttl).value("0").campaign().await?;
    let election = coordinator(&ctx).await?.election("e");
    let until = Instant::now() + ttl * 3;
    let mut said = 0;
    while Instant::now() < until {
        said += 1;
        leads.proclaim(said.to_string()).await?;
        let leader = election.leader().await?.ok_or_else(|| Failure::new("nobody leads"))?;
        ensure_eq!((leader.term, leader.value), (leads.term(), said.to_string().into()), "the leader");
        tokio::time::sleep(ttl / 10).await;
    }
    let quiet = tokio::time::timeout(ttl * 2, leads.lost()).await;
    ensure!(quiet.is_err() && leads.is_leader(), "a leader that had proclaimed lost its leadership");
    Ok(())
}

async fn a_lost_leader_proclaims_nothing(ctx: Context) -> CaseResult {
    let stale = coordinator(&ctx).await?.election("e").value("old").campaign().await?;
    remove(&ctx.driver(), Area::ELECTIONS).await?;
    let next = coordinator(&ctx).await?.election("e").value("new").campaign().await?;
    fails_with(stale.proclaim("old again").await, ErrorKind::Lost, "proclaiming under a stale term")?;
    fails_with(stale.resign().await, ErrorKind::Lost, "resigning a stale term")?;
    let leader = coordinator(&ctx).await?.election("e").leader().await?;
    let leader = leader.ok_or_else(|| Failure::new("a late resignation ended the next leader"))?;
    ensure_eq!((leader.term, leader.value), (next.term(), "new".into()), "the leader");
    Ok(())
}

async fn a_body_runs_while_it_leads(ctx: Context) -> CaseResult {
    let (node, other) = (coordinator(&ctx).await?, coordinator(&ctx).await?);
    let election = node.election("e");
    let body = async |leads: &linchpin::Leadership| {
        let leader = other.election("e").leader().await?;
        Ok::<_, Error>(leader.map(|leader| leader.term) == Some(leads.term()))
    };
    ensure!(election.run_while_leader(body).await??, "the body ran while this node did not lead");
    ensure_eq!(other.election("e").leader().await?, None, "the leader after the body");
    Ok(())
}

async fn resigning_frees_the_seat(ctx: Context) -> CaseResult {
    let (node, other) = (coordinator(&ctx).await?.election("e"), coordinator(&ctx).await?.election("e"));
    for _ in 0..10 {
        let leads = node.campaign().await?;
        // Asked for first, and answered later, where a server has to be asked.
        let (asked, resigned) = futures::future::join(node.try_campaign(), leads.resign()).await;
        resigned?;
        match asked? {
            Some(leads) => leads.resign().await?,
            None => ensure_eq!(other.leader().await?, None, "the leader after it resigned"),
        }
    }
    Ok(())
}

async fn try_run_while_leader_does_not_wait(ctx: Context) -> CaseResult {
    let (one, other) = (coordinator(&ctx).await?.election("e"), coordinator(&ctx).await?.election("e"));
    let led = one.try_run_while_leader(async |_| other.try_run_while_leader(async |_| "ran").await).await?;
    ensure_eq!(led.ok_or_else(|| Failure::new("no body ran where nobody led"))??, None, "a body where somebody led");
    let after = other.try_run_while_leader(async |leads| leads.is_leader()).await?;
    ensure_eq!(after, Some(true), "whether nobody led after the body, and its successor led");
    Ok(())
}

async fn a_body_ends_with_the_leadership(ctx: Context) -> CaseResult {
    let node = coordinator(&ctx).await?;
    let driver = ctx.driver();
    let election = node.election("e").ttl(short(&ctx));
    let body = async |_: &linchpin::Leadership| {
        remove(&driver, Area::ELECTIONS).await?;
        std::future::pending::<CaseResult>().await
    };
    let ended = soon("the end of the body", election.run_while_leader(body)).await?;
    fails_with(ended.map(|_| "an end"), ErrorKind::Lost, "a body whose leadership was lost")?;
    Ok(())
}

async fn an_election_tells_what_happens(ctx: Context) -> CaseResult {
    let (doomed, its_driver) = node(&ctx).await?;
    let [terms, failures, losses] = [(); 3].map(|()| Arc::new(AtomicU64::new(0)));
    let (term, failed, lost) = (terms.clone(), failures.clone(), losses.clone());
    let election = doomed
        .election("e")
        .ttl(short(&ctx) * 3)
        .on_elected(move |elected| term.store(elected.0, Ordering::SeqCst))
        .on_renewal_failure(move |_| {
            failed.fetch_add(1, Ordering::SeqCst);
        })
        .on_lost(move || {
            lost.fetch_add(1, Ordering::SeqCst);
        });
    let leads = election.campaign().await?;
    ensure_eq!(terms.load(Ordering::SeqCst), leads.term().0, "the term that was told");
    its_driver.close().await?;
    soon("the loss", leads.lost()).await?;
    let told = async || Ok((losses.load(Ordering::SeqCst) > 0).then_some(()));
    eventually("the loss is told", told).await?;
    ensure!(failures.load(Ordering::SeqCst) >= 2, "{failures:?} failed renewals were told before the loss");
    drop(leads);
    ensure_eq!(losses.load(Ordering::SeqCst), 1, "how often the loss was told");
    Ok(())
}

async fn shutdown_spares_others_of_its_name(ctx: Context) -> CaseResult {
    let (old, new) = (called(&ctx, "n1").await?, called(&ctx, "n1").await?);
    let leads = new.election(DEFAULT_GROUP).campaign().await?;
    let _member = new.members(DEFAULT_GROUP).join().await?;
    old.shutdown().await?;
    ensure_eq!(new.get_leader().await?.as_deref(), Some("n1"), "the leader after the other's shutdown");
    ensure_eq!(new.list_nodes().await?, ["n1"], "the nodes after the other's shutdown");
    ensure!(leads.is_leader(), "the leadership was lost");
    // What it said itself it does take back.
    let said = called(&ctx, "n2").await?;
    said.register_node("n2", None).await?;
    said.register_node("n3", None).await?;
    leads.resign().await?;
    ensure!(said.try_acquire_leadership("n2", ctx.ttl(LONG)).await?, "nobody leads, but a node was refused");
    said.shutdown().await?;
    ensure_eq!(new.get_leader().await?, None, "the leader after its shutdown");
    ensure_eq!(new.list_nodes().await?, ["n1", "n3"], "the nodes after its shutdown");
    Ok(())
}

async fn shutdown_resigns(ctx: Context) -> CaseResult {
    let (node, other) = (coordinator(&ctx).await?, coordinator(&ctx).await?);
    let _leads = node.election("e").campaign().await?;
    let election = node.election("f");
    let _other = other.election("f").campaign().await?;
    let left = async || Ok((keys_in(&ctx.driver(), CANDIDATES).await? == 0).then_some(()));
    eventually("the leaders' places are free", left).await?;
    let waiting = tokio::spawn(async move { election.campaign().await });
    let waits = async || Ok((keys_in(&ctx.driver(), CANDIDATES).await? == 1).then_some(()));
    eventually("the candidate waits", waits).await?;
    drop(node.election("g").campaign().await?);
    node.shutdown().await?;
    ensure_eq!(other.election("g").leader().await?, None, "a leader that was dropped before the shutdown");
    ensure_eq!(other.election("e").leader().await?, None, "the leader after its shutdown");
    let ended = soon("the end of the campaign", waiting).await?.map_err(|error| Failure::new(error.to_string()))?;
    fails_with(ended, ErrorKind::Closed, "a campaign that was shut down")?;
    ensure_eq!(keys_in(&ctx.driver(), CANDIDATES).await?, 0, "candidates that are left");
    fails_with(node.election("e").campaign().await, ErrorKind::Closed, "a campaign after the shutdown")?;
    Ok(())
}

async fn a_dropped_leadership_resigns(ctx: Context) -> CaseResult {
    let leads = coordinator(&ctx).await?.election("e").campaign().await?;
    drop(leads);
    let other = coordinator(&ctx).await?;
    soon("the next election", other.election("e").campaign()).await??.resign().await?;
    Ok(())
}
