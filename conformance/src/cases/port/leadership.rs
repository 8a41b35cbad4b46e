//! Leadership.

use super::super::prelude::*;
use crate::waiting::{LONG, timed, together};

cases! { Port "port";
    the_first_becomes_leader [Ttl] FIRST_BECOMES_LEADER
        "`try_acquire_leadership`: becomes leader for `ttl` if nobody is";
    a_second_does_not [Ttl] FIRST_BECOMES_LEADER
        "`try_acquire_leadership`: becomes leader for `ttl` if nobody is, and not otherwise";
    a_leader_extends_its_term [Ttl] LEADER_EXTENDS_ITS_TERM
        "A leader that asks again extends its own term to `ttl` from now and gets `true`";
    a_term_ends [Ttl] TERM_ENDS + CURATOR_1121
        "`try_acquire_leadership`: leader for `ttl`, never seen after it";
    a_leader_steps_down [Ttl] LEADER_STEPS_DOWN
        "`release_leadership` steps down";
    nobody_else_steps_down_for_it [Ttl] NOBODY_ELSE_STEPS_DOWN_FOR_IT
        "`release_leadership`: `false` if this node is not the leader";
    a_late_release_spares_the_next_leader [Ttl] NOBODY_ELSE_STEPS_DOWN_FOR_IT
        "`release_leadership`: `false` if this node is not the leader any more";
    one_of_many_candidates_wins [Ttl] ONE_OF_MANY_CANDIDATES_WINS
        "`try_acquire_leadership`: of many that ask at the same time, one becomes leader";
}

const SHORT: Duration = Duration::from_millis(300);

async fn the_first_becomes_leader(ctx: Context) -> CaseResult {
    let (port, other) = (ctx.port(), ctx.another_port().await?);
    ensure_eq!(other.get_leader().await?, None, "the leader before");
    ensure!(port.try_acquire_leadership("é*/1", ctx.ttl(LONG)).await?, "nobody was leader, but a node was refused");
    ensure_eq!(other.get_leader().await?.as_deref(), Some("é*/1"), "the leader");
    Ok(())
}

async fn a_second_does_not(ctx: Context) -> CaseResult {
    let (port, other) = (ctx.port(), ctx.another_port().await?);
    port.try_acquire_leadership("a", ctx.ttl(LONG)).await?;
    for node in ["b", "A", "aa", "a "] {
        ensure!(!other.try_acquire_leadership(node, ctx.ttl(LONG)).await?, "{node:?} became leader beside a");
    }
    ensure_eq!(other.get_leader().await?.as_deref(), Some("a"), "the leader");
    Ok(())
}

async fn a_leader_extends_its_term(ctx: Context) -> CaseResult {
    let (port, other) = (ctx.port(), ctx.another_port().await?);
    let ttl = ctx.ttl(SHORT * 5);
    for _ in 0..4 {
        ensure!(port.try_acquire_leadership("a", ttl).await?, "the leader could not extend its own term");
        tokio::time::sleep(ttl / 3).await;
        ensure_eq!(other.get_leader().await?.as_deref(), Some("a"), "the leader between two extensions");
    }
    Ok(())
}

async fn a_term_ends(ctx: Context) -> CaseResult {
    let (port, other, ttl) = (ctx.port(), ctx.another_port().await?, ctx.ttl(SHORT));
    port.try_acquire_leadership("a", ctx.ttl(LONG)).await?;
    // The last word counts: a shorter term than before.
    let acquired = timed(port.try_acquire_leadership("a", ttl)).await?;
    let look = async || Ok(other.try_acquire_leadership("b", ctx.ttl(LONG)).await?.then_some(()));
    acquired.window(ttl, ctx.ttl_slack()).sees("the leadership of the next", look).await?;
    ensure_eq!(port.get_leader().await?.as_deref(), Some("b"), "the leader");
    ensure!(!port.try_acquire_leadership("a", ttl).await?, "the old leader took its term back");
    Ok(())
}

async fn a_leader_steps_down(ctx: Context) -> CaseResult {
    let (port, other) = (ctx.port(), ctx.another_port().await?);
    port.try_acquire_leadership("a", ctx.ttl(LONG)).await?;
    ensure!(port.release_leadership("a").await?, "the leader could not step down");
    ensure_eq!(other.get_leader().await?, None, "the leader");
    ensure!(other.try_acquire_leadership("b", ctx.ttl(LONG)).await?, "nobody was leader, but a node was refused");
    Ok(())
}

async fn nobody_else_steps_down_for_it(ctx: Context) -> CaseResult {
    let (port, other) = (ctx.port(), ctx.another_port().await?);
    ensure!(!port.release_leadership("a").await?, "nobody was leader, but stepped down");
    port.try_acquire_leadership("a", ctx.ttl(LONG)).await?;
    ensure!(!other.release_leadership("b").await?, "another than the leader stepped down");
    ensure_eq!(port.get_leader().await?.as_deref(), Some("a"), "the leader");
    Ok(())
}

async fn a_late_release_spares_the_next_leader(ctx: Context) -> CaseResult {
    let (port, other, ttl) = (ctx.port(), ctx.another_port().await?, ctx.ttl(SHORT));
    let acquired = timed(port.try_acquire_leadership("a", ttl)).await?;
    acquired.window(ttl, ctx.ttl_slack()).has_passed().await;
    ensure!(other.try_acquire_leadership("b", ctx.ttl(LONG)).await?, "the term had ended, but a node was refused");
    ensure!(!port.release_leadership("a").await?, "a node stepped down whose term had ended");
    ensure_eq!(port.get_leader().await?.as_deref(), Some("b"), "the leader");
    Ok(())
}

async fn one_of_many_candidates_wins(ctx: Context) -> CaseResult {
    for round in 0..3 {
        let mut candidates = Vec::new();
        for n in 0..6 {
            let (port, ttl) = (ctx.another_port().await?, ctx.ttl(LONG));
            candidates.push(async move {
                let node = format!("node-{n}");
                Ok(port.try_acquire_leadership(&node, ttl).await?.then_some(node))
            });
        }
        let winners: Vec<_> = together(candidates).await?.into_iter().flatten().collect();
        ensure_eq!(winners.len(), 1, "the winners of round {round}");
        ensure_eq!(ctx.port().get_leader().await?.as_ref(), winners.first(), "the leader");
        ctx.port().release_leadership(&winners[0]).await?;
    }
    Ok(())
}
