//! Streams.

use super::*;
use crate::history::record::{Delivered, Receipted, Verdict};
use linchpin_core::{Appended, Position, Settled};

const MS: u64 = 1_000_000;

fn append(span: Span, payloads: &[&str], reply: Reply<Vec<Appended>>) -> Operation {
    let payloads = payloads.iter().map(|payload| (*payload).to_owned()).collect();
    operation(span, Event::Append { stream: "s".to_owned(), payloads, reply })
}

/// Records that stand from `first` on.
fn appended(span: Span, first: u64, payloads: &[&str]) -> Operation {
    let one = |(position, _)| Appended { position: Position(position), duplicate: false };
    append(span, payloads, Reply::Answered((first..).zip(payloads).map(one).collect()))
}

fn claim_reply(span: Span, visibility: u64, reply: Reply<Vec<Delivered>>) -> Operation {
    let [stream, group, member] = ["s", "g", "m"].map(str::to_owned);
    operation(span, Event::Claim { stream, group, member, max: 4, visibility, reply })
}

/// A claim, visible for 100 ms, that brought one record: where it stands, how often it came, what it says.
fn claimed(span: Span, position: u64, delivery: u32, payload: &str) -> Operation {
    let delivered = Delivered { position, delivery, payload: payload.to_owned() };
    claim_reply(span, 100 * MS, Reply::Answered(vec![delivered]))
}

fn settle(span: Span, delivery: u32, verdict: Verdict, reply: Reply<Vec<Settled>>) -> Operation {
    let settlements = vec![Receipted { position: 1, delivery, verdict }];
    operation(span, Event::Settle { stream: "s".to_owned(), group: "g".to_owned(), settlements, reply })
}

fn done(span: Span, delivery: u32, verdict: Verdict) -> Operation {
    settle(span, delivery, verdict, Reply::Answered(vec![Settled::Done]))
}

fn stale(span: Span, delivery: u32) -> Operation {
    settle(span, delivery, Verdict::Ack, Reply::Answered(vec![Settled::Stale]))
}

fn lost<T>() -> Reply<T> {
    Reply::Unknown("no answer within 5s".to_owned())
}

fn drained(span: Span) -> Operation {
    operation(span, Event::Drained { stream: "s".to_owned(), group: "g".to_owned() })
}

const AT_ONCE: Verdict = Verdict::Retry { after: 0 };

#[test]
fn positions_respect_real_time() {
    legal([appended((1, 9), 3, &["x"]), appended((2, 8), 1, &["y", "z"])]);
    illegal("stands before it", [appended((1, 2), 3, &["x"]), appended((3, 4), 1, &["y", "z"])]);
    illegal("two records of \"s\" stand at the position 1", [appended((1, 9), 1, &["x"]), appended((2, 8), 1, &["y"])]);
    let apart = [1, 3].map(|position| Appended { position: Position(position), duplicate: false });
    illegal("stand next to each other", [append((1, 2), &["x", "y"], Reply::Answered(apart.to_vec()))]);
    let duplicate = Appended { position: Position(1), duplicate: true };
    illegal("taken for a duplicate", [append((1, 2), &["x"], Reply::Answered(vec![duplicate]))]);
}

#[test]
fn what_is_delivered_was_appended_there() {
    legal([appended((1, 2), 1, &["x", "y"]), claimed((3, 4), 2, 1, "y")]);
    illegal("at another position", [appended((1, 2), 1, &["x", "y"]), claimed((3, 4), 1, 1, "y")]);
    illegal("which nobody ever appended", [claimed((3, 4), 1, 1, "x")]);
    illegal("surely not appended", [append((1, 2), &["x"], Reply::Failed(String::new())), claimed((3, 4), 1, 1, "x")]);
    illegal("before it was appended", [claimed((1, 2), 1, 1, "x"), appended((3, 4), 1, &["x"])]);
}

#[test]
fn an_unknown_append_may_be_applied_once() {
    let unknown = || append((1, 2), &["x", "y"], lost());
    legal([unknown(), drained((3, 4))]);
    legal([unknown(), claimed((3, 4), 7, 1, "y"), claimed((5, 6), 6, 1, "x")]);
    illegal("at another position, or twice", [unknown(), claimed((3, 4), 7, 1, "x"), claimed((5, 6), 9, 1, "x")]);
    illegal("at another position", [unknown(), claimed((3, 4), 7, 1, "x"), claimed((5, 6), 9, 1, "y")]);
    illegal("two records", [unknown(), claimed((3, 4), 7, 1, "x"), appended((5, 6), 8, &["z"])]);
}

#[test]
fn every_group_is_delivered_every_record() {
    let both = || appended((1, 2), 1, &["x", "y"]);
    legal([both(), claimed((3, 4), 1, 1, "x"), claimed((5, 6), 2, 1, "y"), drained((7, 8))]);
    illegal("the record at 2 was never delivered", [both(), claimed((3, 4), 1, 1, "x"), drained((7, 8))]);
    legal([drained((1, 2)), appended((1, 3), 1, &["x"])]);
}

#[test]
fn what_is_acknowledged_is_not_delivered_again() {
    let x = || [appended((1, 2), 1, &["x"]), claimed((3, 4), 1, 1, "x"), done((5, 6), 1, Verdict::Ack)];
    legal(x());
    illegal("again after it was acknowledged", x().into_iter().chain([claimed((200 * MS, 201 * MS), 1, 2, "x")]));
    // Whatever its number says.
    let again = claimed((200 * MS, 201 * MS), 1, 0, "x");
    illegal("a later delivery of a record has a smaller number", x().into_iter().chain([again]));
    // An acknowledgement of unknown outcome may not have come.
    let unknown = settle((5, 6), 1, Verdict::Ack, lost());
    legal([appended((1, 2), 1, &["x"]), claimed((3, 4), 1, 1, "x"), unknown, claimed((200 * MS, 201 * MS), 1, 2, "x")]);
}

#[test]
fn a_claim_is_exclusive_until_settled_or_its_visibility_has_passed() {
    let x = || [appended((1, 2), 1, &["x"]), claimed((3, 4), 1, 1, "x")];
    legal(x().into_iter().chain([claimed((50 * MS, 110 * MS), 1, 2, "x")]));
    illegal("its member's alone", x().into_iter().chain([claimed((50 * MS, 60 * MS), 1, 2, "x")]));
    legal(x().into_iter().chain([done((5, 6), 1, AT_ONCE), claimed((50 * MS, 60 * MS), 1, 2, "x")]));
    let maybe = settle((5, 6), 1, AT_ONCE, lost());
    legal(x().into_iter().chain([maybe, claimed((50 * MS, 60 * MS), 1, 2, "x")]));
    let later = done((70 * MS, 71 * MS), 1, AT_ONCE);
    illegal("its member's alone", x().into_iter().chain([claimed((50 * MS, 60 * MS), 1, 2, "x"), later]).take(3));
}

#[test]
fn a_retry_is_not_before_its_time() {
    let x = |again| {
        let retry = Verdict::Retry { after: 300 * MS };
        [appended((1, 2), 1, &["x"]), claimed((3, 4), 1, 1, "x"), done((5, 6), 1, retry), claimed(again, 1, 2, "x")]
    };
    legal(x((250 * MS, 310 * MS)));
    illegal("before the time after which it was to be retried", x((250 * MS, 260 * MS)));
}

#[test]
fn delivery_counts_rise() {
    let x = || [appended((1, 2), 1, &["x"]), claimed((3, 4), 1, 1, "x"), done((5, 6), 1, AT_ONCE)];
    illegal("delivered twice as delivery 1", x().into_iter().chain([claimed((7, 8), 1, 1, "x")]));
    let two = claimed((7, 8), 1, 3, "x");
    let three = claimed((200 * MS, 300 * MS), 1, 2, "x");
    illegal("smaller number", x().into_iter().chain([two, three]));
}

#[test]
fn a_delivery_is_settled_once_and_not_when_it_is_stale() {
    let x = || [appended((1, 2), 1, &["x"]), claimed((3, 4), 1, 1, "x"), done((5, 6), 1, AT_ONCE)];
    illegal("settled twice", x().into_iter().chain([done((7, 8), 1, Verdict::Ack)]));
    legal(x().into_iter().chain([stale((7, 8), 1)]));
    let once = || x().into_iter().take(2).chain([claimed((150 * MS, 160 * MS), 1, 2, "x")]);
    legal(once().chain([stale((170 * MS, 180 * MS), 1)]));
    illegal("delivery 1 was settled after delivery 2", once().chain([done((170 * MS, 180 * MS), 1, AT_ONCE)]));
}

#[test]
fn stale_has_a_reason() {
    let x = || [appended((1, 2), 1, &["x"]), claimed((3, 4), 1, 1, "x")];
    illegal("refused as stale", x().into_iter().chain([stale((5, 6), 1)]));
    legal(x().into_iter().chain([stale((5, 200 * MS), 1)]));
    legal(x().into_iter().chain([settle((5, 6), 1, Verdict::Ack, lost()), stale((7, 8), 1)]));
    legal(x().into_iter().chain([claim_reply((4, 5), 100 * MS, lost()), stale((7, 8), 1)]));
}

#[test]
fn a_claim_brings_no_more_than_asked() {
    let names = ["1", "2", "3", "4", "5"];
    let one = |(position, name): (u64, &&str)| Delivered { position, delivery: 1, payload: (*name).to_owned() };
    let all: Vec<_> = (1..).zip(&names).map(one).collect();
    illegal(
        "more records than it asked for",
        [appended((1, 2), 1, &names), claim_reply((3, 4), MS, Reply::Answered(all))],
    );
}
