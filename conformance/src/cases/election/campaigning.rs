//! Who becomes leader, and when.

use super::super::prelude::*;
use crate::failure::here;
use crate::recipes::{called, coordinator, keys_in, node, remove, short};
use crate::waiting::{FIRST_LOOK, LONG, ON_THE_WAY, PATIENCE, eventually, soon, timed};
use linchpin::election::CANDIDATES;
use linchpin::{Coordinator, Leadership};
use linchpin_core::{Area, Page, Range};
use tokio::task::JoinHandle;

cases! { Election "election";
    nobody_leads_until_one_is_elected [Ttl, Watch] NOBODY_LEADS_UNTIL_ONE_IS_ELECTED
        "`campaign` waits until this node leads, and leads at once if nobody does";
    candidates_lead_in_turn [Ttl, Watch] NOBODY_LEADS_UNTIL_ONE_IS_ELECTED
        "Candidates lead in the order in which they came";
    terms_grow_with_every_leader [Ttl, Watch] TERMS_GROW_WITH_EVERY_LEADER
        "The term is a fencing token: it grows with every leader, also after a clear";
    a_change_of_leader_is_constant_work [Ttl, Watch] CHANGE_OF_LEADER_IS_CONSTANT_WORK + SPRING_INTEGRATION_3690
        "The requests that a change of leader makes do not grow with the number of candidates";
    a_candidate_that_gives_up_is_skipped [Ttl, Watch] CANDIDATE_THAT_GIVES_UP_IS_SKIPPED
        "Dropping a campaign gives up the candidacy and leaves nothing behind";
    a_dead_candidate_never_blocks_the_others [Ttl, Watch] CANDIDATE_THAT_GIVES_UP_IS_SKIPPED + REDISSON_1104
        "A candidate that dies is skipped when its key expires";
    nobody_leads_by_a_place_that_has_gone [Ttl, Watch] NOBODY_LEADS_BY_A_PLACE_THAT_HAS_GONE + CHARTS_326 + ETCD_19597
        "A candidate whose own key has gone is no phantom leader: it stands again, behind the others";
    try_campaign_does_not_wait [Ttl, Watch] TRY_CAMPAIGN_DOES_NOT_WAIT
        "`try_campaign` leads if nobody does, and says so at once otherwise";
    any_wait_to_lead_will_do [Ttl, Watch] ANY_WAIT_TO_LEAD_WILL_DO
        "Who finds neither leader nor candidate leads even with no time to wait, and a wait may be as long as can be written";
    a_campaign_ends_in_time_and_leaves_nothing [Ttl, Watch] CAMPAIGN_ENDS_IN_TIME_AND_LEAVES_NOTHING
        "A campaign that waits in vain ends after its wait with `Timeout`, and no candidate is left of it";
    one_of_many_leads [Ttl, Watch] ONE_OF_MANY_LEADS
        "One leader at a time among all who name an election alike";
    other_names_are_other_elections [Ttl, Watch] OTHER_NAMES_ARE_OTHER_ELECTIONS
        "Two names are two elections, whatever characters they are made of";
    bad_elections_are_refused [Ttl, Watch] BAD_ELECTIONS_ARE_REFUSED
        "A name that is no name and a TTL that is too short are `InvalidArgument` before anything is sent";
}

type Candidate = JoinHandle<Result<Leadership, Error>>;

/// Somebody who leads, whose place among the candidates is free again.
#[track_caller]
fn leader(node: &Coordinator, driver: &Arc<dyn Driver>) -> impl Future<Output = Result<Leadership, Failure>> {
    here(async move {
        // A TTL so long that no renewal gets in between.
        let leads = soon("the first election", node.election("e").ttl(LONG).campaign()).await??;
        let left = async || Ok((keys_in(driver, CANDIDATES).await? == 0).then_some(()));
        eventually("the first leader's place is free", left).await?;
        Ok(leads)
    })
}

/// Starts to campaign, and returns once the place among the candidates is taken.
#[track_caller]
fn stand(
    node: &Coordinator,
    driver: &Arc<dyn Driver>,
    places: usize,
) -> impl Future<Output = Result<Candidate, Failure>> {
    here(async move {
        let election = node.election("e").ttl(LONG);
        let candidate = tokio::spawn(async move { election.campaign().await });
        let taken = async || Ok((keys_in(driver, CANDIDATES).await? == places).then_some(()));
        eventually("a place among the candidates", taken).await?;
        Ok(candidate)
    })
}

#[track_caller]
fn elected(candidate: Candidate) -> impl Future<Output = Result<Leadership, Failure>> {
    here(async move { Ok(soon("the election", candidate).await?.map_err(|error| Failure::new(error.to_string()))??) })
}

async fn nobody_leads_until_one_is_elected(ctx: Context) -> CaseResult {
    let (one, other) = (called(&ctx, "one").await?, called(&ctx, "other").await?);
    ensure_eq!(other.election("e").leader().await?, None, "the leader before");
    let leads = one.election("e").value("here").campaign().await?;
    eventually("its place is free", async || Ok((keys_in(&ctx.driver(), CANDIDATES).await? == 0).then_some(())))
        .await?;
    let leader = other.election("e").leader().await?.ok_or_else(|| Failure::new("nobody leads"))?;
    ensure_eq!(leader.node_id.as_str(), "one", "who leads");
    ensure_eq!(leader.term, leads.term(), "the term");
    ensure_eq!(leader.value, "here", "what the leader proclaims");
    let waiting = stand(&other, &ctx.driver(), 1).await?;
    ensure!(leads.is_leader() && !waiting.is_finished(), "two lead");
    leads.resign().await?;
    let next = elected(waiting).await?;
    let leader = one.election("e").leader().await?.ok_or_else(|| Failure::new("nobody leads"))?;
    ensure_eq!((leader.node_id.as_str(), leader.term), ("other", next.term()), "who leads next");
    Ok(())
}

async fn candidates_lead_in_turn(ctx: Context) -> CaseResult {
    let mut leads = leader(&coordinator(&ctx).await?, &ctx.driver()).await?;
    let mut waiting = Vec::new();
    for place in 1..6 {
        waiting.push(stand(&coordinator(&ctx).await?, &ctx.driver(), place).await?);
    }
    for candidate in waiting {
        ensure!(!candidate.is_finished(), "a candidate was elected before its turn");
        leads.resign().await?;
        leads = elected(candidate).await?;
    }
    Ok(())
}

async fn terms_grow_with_every_leader(ctx: Context) -> CaseResult {
    let (one, other) = (coordinator(&ctx).await?, coordinator(&ctx).await?);
    let mut newest = None;
    for round in 0..6 {
        let node = if round % 2 == 0 { &one } else { &other };
        let leads = soon("the election", node.election("e").campaign()).await??;
        ensure!(Some(leads.term()) > newest, "term {} after {newest:?}", leads.term());
        newest = Some(leads.term());
        if round == 3 {
            drop(leads);
            one.flush_all().await?;
        } else {
            leads.resign().await?;
        }
    }
    Ok(())
}

/// How often the leader changes while its requests are counted.
const CHANGES: usize = 3;

/// The requests that so many changes from one leader to the next make, with so many candidates.
#[track_caller]
fn requests_of_changes(ctx: &Context, candidates: usize) -> impl Future<Output = Result<u64, Failure>> {
    here(async move {
        remove(&ctx.driver(), CANDIDATES).await?;
        let node = coordinator(ctx).await?;
        let mut leads = leader(&node, &ctx.driver()).await?;
        let mut waiting = Vec::new();
        for place in 0..candidates {
            waiting.push(stand(&node, &ctx.driver(), place + 1).await?);
        }
        let requests = || node.metrics().operations.values().map(|operation| operation.calls).sum::<u64>();
        let calls = |name: &str| node.metrics().operations.get(name).map_or(0, |metrics| metrics.calls);
        let watching = || calls("watch");
        // The queue is watched once for all of them, the seat by the first.
        let all_wait = 2;
        eventually("the first candidate watches the leader", async || Ok((watching() == all_wait).then_some(())))
            .await?;
        // Others may see a place before the call has returned that took it. The leader has taken one, and the seat, and left.
        let all = candidates as u64 + 3;
        eventually("all stand", async || Ok((calls("commit") >= all).then_some(()))).await?;
        let before = requests();
        for (nth, candidate) in waiting.drain(..CHANGES).enumerate() {
            leads.resign().await?;
            leads = elected(candidate).await?;
            // The next candidate is the first by now, and watches the leader.
            let ready = async || Ok((watching() == all_wait + 1 + nth as u64).then_some(()));
            eventually("the next candidate watches the leader", ready).await?;
        }
        let made = requests() - before;
        for candidate in waiting {
            candidate.abort();
        }
        leads.resign().await?;
        node.shutdown().await?;
        Ok(made)
    })
}

async fn a_change_of_leader_is_constant_work(ctx: Context) -> CaseResult {
    let few = requests_of_changes(&ctx, 4).await?;
    let many = requests_of_changes(&ctx, 16).await?;
    // Leaving the queue is in the background, and may be counted or not.
    ensure!(many <= few + 2, "{CHANGES} changes of leader make {few} requests with 4 candidates and {many} with 16");
    let each = many / CHANGES as u64;
    ensure!(
        each <= 6,
        "a change of leader makes {each} requests: resign, take, leave the queue, ask, watch are enough"
    );
    Ok(())
}

async fn a_candidate_that_gives_up_is_skipped(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let leads = leader(&coordinator(&ctx).await?, &driver).await?;
    let gives_up = stand(&coordinator(&ctx).await?, &driver, 1).await?;
    let next = stand(&coordinator(&ctx).await?, &driver, 2).await?;
    gives_up.abort();
    let gone = async || Ok((keys_in(&driver, CANDIDATES).await? == 1).then_some(()));
    eventually("the place of who gave up is free", gone).await?;
    leads.resign().await?;
    elected(next).await?.resign().await?;
    let nothing = async || {
        let left = keys_in(&driver, CANDIDATES).await? + keys_in(&driver, Area::ELECTIONS).await?;
        Ok((left == 0).then_some(()))
    };
    eventually("nothing is left behind", nothing).await
}

async fn a_dead_candidate_never_blocks_the_others(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let leads = leader(&coordinator(&ctx).await?, &driver).await?;
    let (doomed, its_driver) = node(&ctx).await?;
    let election = doomed.election("e").ttl(short(&ctx));
    let dies = tokio::spawn(async move { election.campaign().await });
    let taken = async || Ok((keys_in(&driver, CANDIDATES).await? == 1).then_some(()));
    eventually("a place among the candidates", taken).await?;
    let next = stand(&coordinator(&ctx).await?, &driver, 2).await?;
    its_driver.close().await?;
    leads.resign().await?;
    elected(next).await?.resign().await?;
    dies.abort();
    Ok(())
}

async fn nobody_leads_by_a_place_that_has_gone(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let leads = leader(&coordinator(&ctx).await?, &driver).await?;
    let robbed = coordinator(&ctx).await?;
    let election = robbed.election("e").ttl(short(&ctx));
    let first = tokio::spawn(async move { election.campaign().await });
    let taken = async || Ok((keys_in(&driver, CANDIDATES).await? == 1).then_some(()));
    eventually("a place among the candidates", taken).await?;
    let range = Range::prefix(CANDIDATES.prefix())?;
    let place = driver.scan(&range, &Page::first_keys()).await?.entries.remove(0).key;
    let second = stand(&coordinator(&ctx).await?, &driver, 2).await?;
    driver.commit(&Transaction::new().delete(place)).await?;
    // With its next renewal it learns that its place has gone, and takes one at the end.
    let again = async || Ok((keys_in(&driver, CANDIDATES).await? == 2).then_some(()));
    eventually("the robbed candidate stands again", again).await?;
    leads.resign().await?;
    let second = elected(second).await?;
    ensure!(!first.is_finished(), "who had lost its place was elected before who came earlier");
    second.resign().await?;
    let first = elected(first).await?;
    let leader = robbed.election("e").leader().await?;
    ensure_eq!(leader.map(|leader| leader.term), Some(first.term()), "the term of who leads");
    Ok(())
}

async fn try_campaign_does_not_wait(ctx: Context) -> CaseResult {
    let (one, other) = (coordinator(&ctx).await?, coordinator(&ctx).await?);
    let Some(leads) = one.election("e").try_campaign().await? else {
        return Err(Failure::new("nobody leads, but a candidate was refused"));
    };
    let refused = soon("the refusal", other.election("e").try_campaign()).await??;
    ensure!(refused.is_none(), "two lead");
    leads.resign().await?;
    ensure!(other.election("e").try_campaign().await?.is_some(), "nobody leads, but a candidate was refused");
    Ok(())
}

async fn any_wait_to_lead_will_do(ctx: Context) -> CaseResult {
    let (election, driver) = (coordinator(&ctx).await?.election("e"), ctx.driver());
    for _ in 0..5 {
        election.clone().wait(Duration::ZERO).campaign().await?.resign().await?;
        let left = async || Ok((keys_in(&driver, CANDIDATES).await? == 0).then_some(()));
        eventually("no candidate is left", left).await?;
    }
    election.wait(Duration::MAX).campaign().await?.resign().await?;
    Ok(())
}

async fn a_campaign_ends_in_time_and_leaves_nothing(ctx: Context) -> CaseResult {
    let (node, driver, wait) = (coordinator(&ctx).await?, ctx.driver(), Duration::from_millis(300));
    let leads = leader(&coordinator(&ctx).await?, &driver).await?;
    let waited = timed(async { Ok::<_, Failure>(node.election("e").wait(wait).campaign().await) }).await?;
    let error = fails_with(waited.value, ErrorKind::Timeout, "a campaign while another leads")?;
    ensure_eq!(error.subject(), Some("e"), "the election that the error names");
    let took = waited.answered - waited.sent;
    ensure!(took >= wait && took <= FIRST_LOOK + ON_THE_WAY, "a wait of {wait:?} ended after {took:?}");
    ensure!(!error.maybe_applied(), "a wait that ended says that it may have been applied");
    let left = async || Ok((keys_in(&driver, CANDIDATES).await? == 0).then_some(()));
    eventually("no candidate is left", left).await?;
    ensure!(leads.is_leader(), "a campaign in vain cost the leader its leadership");
    Ok(())
}

async fn one_of_many_leads(ctx: Context) -> CaseResult {
    const NODES: usize = 5;
    let (sender, mut terms) = tokio::sync::mpsc::unbounded_channel();
    let mut nodes = tokio::task::JoinSet::new();
    let leading = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    for _ in 0..NODES {
        let (node, sender, leading) = (coordinator(&ctx).await?, sender.clone(), leading.clone());
        nodes.spawn(async move {
            for _ in 0..4 {
                let leads = node.election("e").campaign().await?;
                let others = leading.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                tokio::task::yield_now().await;
                let _ = sender.send((leads.term(), others));
                leading.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                leads.resign().await?;
            }
            Ok::<_, Error>(())
        });
    }
    drop(sender);
    let mut newest = None;
    while let Some((term, others)) = soon("the next leader", terms.recv()).await? {
        ensure_eq!(others, 0, "others that led at the same time");
        ensure!(Some(term) > newest, "term {term} after {newest:?}");
        newest = Some(term);
    }
    while let Some(ended) = nodes.join_next().await {
        ended.map_err(|error| Failure::new(error.to_string()))??;
    }
    Ok(())
}

async fn other_names_are_other_elections(ctx: Context) -> CaseResult {
    let (one, other) = (coordinator(&ctx).await?, coordinator(&ctx).await?);
    let mut held = Vec::new();
    for name in ["a", "A", "a/b", "a/", "/a", "1:a/", "é", " a", "*", "a\n"] {
        let leads = tokio::time::timeout(PATIENCE, one.election(name).campaign()).await;
        held.push(leads.map_err(|_| Failure::new(format!("{name:?} was taken for another election")))??);
        let leader = other.election(name).leader().await?;
        ensure_eq!(leader.map(|leader| leader.term), held.last().map(Leadership::term), "the term of {name:?}");
    }
    Ok(())
}

async fn bad_elections_are_refused(ctx: Context) -> CaseResult {
    let node = coordinator(&ctx).await?;
    for name in [String::new(), "a\0b".to_owned(), "x".repeat(513)] {
        fails_with(node.election(&name).campaign().await, ErrorKind::InvalidArgument, "campaign")?;
        fails_with(node.election(&name).try_campaign().await, ErrorKind::InvalidArgument, "try_campaign")?;
        fails_with(node.election(&name).leader().await, ErrorKind::InvalidArgument, "leader")?;
        fails_with(node.election(&name).observe().await.map(drop), ErrorKind::InvalidArgument, "observe")?;
    }
    for ttl in [Duration::ZERO, Duration::from_millis(299), Duration::MAX] {
        fails_with(node.election("e").ttl(ttl).campaign().await, ErrorKind::InvalidArgument, format!("{ttl:?}"))?;
    }
    let large = vec![0; ctx.capabilities().limits.value + 1];
    let refused = node.election("e").value(large).try_campaign().await;
    fails_with(refused, ErrorKind::InvalidArgument, "a value over the limit")?;
    ensure_eq!(keys_in(&ctx.driver(), CANDIDATES).await?, 0, "candidates");
    ensure_eq!(keys_in(&ctx.driver(), Area::ELECTIONS).await?, 0, "leaders");
    Ok(())
}
