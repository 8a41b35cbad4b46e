//! Guards, several keys, ids.

use super::*;

fn wrote(span: Span, revision: u64) -> Operation {
    txn().put("a", &format!("a{revision}")).put("b", &format!("b{revision}")).committed(
        span,
        revision,
        &[created(10), created(10)],
    )
}

#[test]
fn a_guard_that_held_was_true() {
    let put_if = |condition, at| txn().guard("a", condition).put("a", "y").committed((5, 6), 30, &[created(at)]);
    let first = || put((1, 2), 10, "a", "x", 10);
    legal([first(), put_if(version_is(10), 10)]);
    legal([first(), put_if(Condition::Present, 10)]);
    legal([put_if(Condition::Absent, 30)]);
    illegal("nothing was found", [first(), put_if(Condition::Absent, 30)]);
    illegal("something was found", [put_if(Condition::Present, 30)]);
    let second = put((3, 4), 20, "a", "z", 10);
    illegal("the guard held that its version is 10", [first(), second, put_if(version_is(10), 10)]);
}

#[test]
fn two_cannot_replace_the_same_version() {
    let replace = |span, revision, value: &str| {
        txn().guard("a", version_is(10)).put("a", value).committed(span, revision, &[created(10)])
    };
    illegal(
        "the guard held that its version is 10",
        [put((1, 2), 10, "a", "x", 10), replace((3, 9), 20, "y"), replace((4, 8), 21, "z")],
    );
}

#[test]
fn a_guard_that_refused_was_false() {
    let x = || put((1, 2), 10, "a", "x", 10);
    let absent =
        |found, revision| txn().guard("a", Condition::Absent).put("a", "y").refused((3, 4), 0, found, revision);
    legal([x(), absent(seen("x", 10, 10), 10)]);
    illegal("does not fit", [x(), absent(None, 10)]);
    illegal("it was created at 9", [x(), absent(seen("x", 9, 10), 10)]);
    illegal("nobody ever wrote", [x(), absent(seen("z", 10, 10), 10)]);
    let version = |found| txn().guard("a", version_is(10)).refused((3, 4), 0, found, 10);
    illegal("does not fit", [x(), version(seen("x", 10, 10))]);
    illegal("nothing was found", [x(), version(None)]);
    let old = txn().guard("a", Condition::Absent).refused((5, 6), 0, seen("x", 10, 10), 20);
    illegal("the version 10 was found", [x(), put((3, 4), 20, "a", "y", 10), old]);
}

#[test]
fn the_guards_before_the_one_that_refused_held() {
    let both = || txn().guard("a", Condition::Absent).guard("b", Condition::Present);
    legal([both().refused((1, 2), 1, None, 5)]);
    illegal("nothing was found", [put((1, 2), 10, "a", "x", 10), both().refused((3, 4), 1, None, 10)]);
}

#[test]
fn a_check_is_of_its_revision() {
    let check = |condition, revision| txn().guard("a", condition).committed((3, 4), revision, &[]);
    legal([put((1, 2), 10, "a", "x", 10), check(Condition::Present, 10)]);
    illegal("nothing was found", [put((1, 2), 10, "a", "x", 10), check(Condition::Absent, 10)]);
    illegal("10 was known", [put((1, 2), 10, "a", "x", 10), check(Condition::Absent, 9)]);
    // The write of that revision is before it.
    illegal("nothing was found", [put((1, 9), 10, "a", "x", 10), check(Condition::Absent, 10)]);
    legal([put((1, 9), 10, "a", "x", 10), check(Condition::Absent, 9)]);
}

#[test]
fn all_or_nothing() {
    let entries = |a: u64, b: u64| [("a", seen(&format!("a{a}"), 10, a)), ("b", seen(&format!("b{b}"), 10, b))];
    legal([wrote((1, 2), 10), wrote((3, 4), 20), get((5, 6), 20, &entries(20, 20))]);
    illegal("the version 10 was found", [wrote((1, 2), 10), wrote((3, 4), 20), get((5, 6), 20, &entries(20, 10))]);
    // One at a time shows it as well.
    illegal(
        "the version 10 was found",
        [
            wrote((1, 2), 10),
            wrote((3, 4), 20),
            get((5, 6), 20, &entries(20, 20)[..1]),
            get((7, 8), 20, &entries(20, 10)[1..]),
        ],
    );
}

#[test]
fn a_transaction_of_unknown_outcome_is_applied_whole() {
    let torn = || txn().put("a", "x").put("b", "y").add("n", 3).unknown((1, 2));
    let sees = |b, n| get((3, 4), 10, &[("a", seen("x", 10, 10)), ("b", b), ("n", n)]);
    legal([torn(), sees(seen("y", 10, 10), seen("3", 10, 10))]);
    illegal("nothing was found", [torn(), sees(None, seen("3", 10, 10))]);
    illegal("nothing was found", [torn(), sees(seen("y", 10, 10), None)]);
    illegal("it counts \"4\"", [torn(), sees(seen("y", 10, 10), seen("4", 10, 10))]);
    illegal(
        "one transaction was applied at 10 and again at 11",
        [torn(), get((3, 4), 11, &[("a", seen("x", 10, 10)), ("b", seen("y", 11, 11))])],
    );
    let guarded = txn().guard("b", Condition::Present).put("a", "x").unknown((1, 2));
    illegal("something was found", [guarded, get((3, 4), 10, &[("a", seen("x", 10, 10))])]);
}

#[test]
fn a_repeat_gets_the_first_outcome() {
    let once = || txn().id("1").put("a", "x");
    legal([once().committed((1, 2), 10, &[created(10)]), once().committed((3, 4), 10, &[created(10)])]);
    legal([once().unknown((1, 2)), once().committed((3, 4), 10, &[created(10)])]);
    legal([once().failed((1, 2)), once().committed((3, 4), 10, &[created(10)])]);
    legal([once().committed((1, 2), 10, &[created(10)]), once().unknown((3, 4))]);
    illegal(
        "did not get the outcome of the first one",
        [once().committed((1, 2), 10, &[created(10)]), once().committed((3, 4), 20, &[created(10)])],
    );
    let guarded = || txn().id("2").guard("a", Condition::Absent).put("a", "x");
    illegal(
        "did not get the outcome of the first one",
        [guarded().committed((1, 2), 10, &[created(10)]), guarded().refused((3, 4), 0, seen("x", 10, 10), 10)],
    );
}

#[test]
fn a_repeat_of_a_refusal_need_not_tell_what_stood_there() {
    let put = |span, revision, value: &'static str, created_at| {
        txn().put("a", value).committed(span, revision, &[created(created_at)])
    };
    let guarded = || txn().id("2").guard("a", Condition::Absent).put("a", "y");
    let told = || guarded().refused((3, 4), 0, seen("x", 10, 10), 10);
    let untold = || guarded().refused((7, 8), 0, None, 10);
    legal([put((1, 2), 10, "x", 10), told(), put((5, 6), 20, "z", 10), untold()]);
    legal([put((1, 2), 10, "x", 10), guarded().unknown((3, 4)), put((5, 6), 20, "z", 10), untold()]);
    let unnamed = txn().guard("a", Condition::Absent).put("a", "y").refused((7, 8), 0, None, 10);
    illegal("does not fit", [put((1, 2), 10, "x", 10), unnamed]);
    illegal(
        "did not get the outcome of the first one",
        [put((1, 2), 10, "x", 10), told(), guarded().refused((7, 8), 0, None, 12)],
    );
}

#[test]
fn a_repeat_whose_first_send_failed_is_of_when_it_was_sent() {
    let once = || txn().id("1").put("a", "x");
    let between = || get((3, 4), 20, &[("a", None)]);
    legal([once().unknown((1, 2)), between(), once().committed((5, 6), 30, &[created(30)])]);
    // Unknown, and applied before the read: which then must see it.
    let committed = || once().committed((5, 6), 10, &[created(10)]);
    illegal("nothing was found", [once().unknown((1, 2)), between(), committed()]);
    illegal("20 was known before it was called", [once().failed((1, 2)), between(), committed()]);
}
