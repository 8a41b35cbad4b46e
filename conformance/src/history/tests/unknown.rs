//! Calls of unknown outcome: applied once, later, or never; not twice.

use super::*;

fn x() -> Operation {
    put((1, 2), 10, "a", "x", 10)
}

#[test]
fn an_unknown_put_may_be_applied_or_not() {
    let unknown = || txn().put("a", "y").unknown((3, 4));
    legal([x(), unknown(), get((5, 6), 10, &[("a", seen("x", 10, 10))])]);
    legal([x(), unknown(), get((5, 6), 20, &[("a", seen("y", 10, 20))])]);
    // Later: after a read that did not see it.
    legal([x(), unknown(), get((5, 6), 10, &[("a", seen("x", 10, 10))]), get((7, 8), 20, &[("a", seen("y", 10, 20))])]);
    illegal("10 was known before it was called", [x(), unknown(), get((5, 6), 20, &[("a", seen("y", 9, 9))])]);
}

#[test]
fn an_unknown_put_is_not_applied_twice_nor_undone() {
    let unknown = || txn().put("a", "y").unknown((3, 4));
    let sees = |span, revision, value, version| get(span, revision, &[("a", seen(value, 10, version))]);
    illegal(
        "applied at 20 and again at 40",
        [x(), unknown(), sees((5, 6), 20, "y", 20), put((7, 8), 30, "a", "z", 10), sees((9, 10), 40, "y", 40)],
    );
    illegal("the version 10 was found", [x(), unknown(), sees((5, 6), 20, "y", 20), sees((7, 8), 20, "x", 10)]);
}

#[test]
fn an_unknown_delete_explains_one_absence() {
    let unknown = || txn().delete("a").unknown((3, 4));
    let gone = |span| get(span, 20, &[("a", None)]);
    legal([x(), unknown(), gone((5, 6))]);
    legal([x(), unknown(), get((5, 6), 20, &[("a", seen("x", 10, 10))]), gone((7, 8))]);
    legal([x(), unknown(), put((5, 6), 30, "a", "y", 30)]);
    illegal("nothing was found", [x(), gone((5, 6))]);
    illegal("the version 10 was found", [x(), unknown(), gone((5, 6)), get((7, 8), 20, &[("a", seen("x", 10, 10))])]);
    illegal(
        "nothing was found",
        [x(), unknown(), gone((5, 6)), put((7, 8), 30, "a", "y", 30), get((9, 10), 40, &[("a", None)])],
    );
    // It had not been called when the key was gone.
    illegal("nothing was found", [x(), gone((5, 6)), txn().delete("a").unknown((7, 8))]);
}

#[test]
fn an_unknown_put_that_nobody_saw_may_have_created_the_key() {
    let unknown = || txn().put("a", "y").unknown((1, 2));
    legal([unknown(), put((3, 4), 20, "a", "z", 15)]);
    legal([unknown(), txn().guard("a", Condition::Present).put("a", "z").committed((3, 4), 20, &[created(15)])]);
    legal([unknown(), txn().delete("a").committed((3, 4), 20, &[deleted(true)])]);
    illegal("created at 15", [put((3, 4), 20, "a", "z", 15)]);
    legal([x(), txn().delete("a").unknown((1, 2)), unknown(), put((3, 4), 20, "a", "z", 15)]);
    illegal("created at 15", [x(), unknown(), put((3, 4), 20, "a", "z", 15)]);
}

#[test]
fn unknown_steps_of_a_counter_are_told_by_the_sum() {
    let add = |span, revision, delta, value| txn().add("n", delta).committed(span, revision, &[added(value)]);
    let unknown = |delta| txn().add("n", delta).unknown((3, 4));
    let first = || add((1, 2), 10, 100, 100);
    for value in [101, 102, 104, 105] {
        let then = add((5, 6), 30, 1, value);
        legal([first(), unknown(1), unknown(3), then]);
    }
    illegal("it counted 102, not 100", [first(), unknown(1), unknown(3), add((5, 6), 30, 1, 103)]);
    let reads = |value: &str, version| get((5, 6), 30, &[("n", seen(value, 10, version))]);
    legal([first(), unknown(1), unknown(3), reads("103", 20)]);
    illegal("the version 20 of the count 102", [first(), unknown(1), unknown(3), reads("102", 20)]);
    // Applied twice.
    illegal("the version 20 of the count 106", [first(), unknown(3), reads("106", 20)]);
    illegal("it counted 106", [first(), unknown(3), reads("103", 20), add((7, 8), 40, 1, 107)]);
}

#[test]
fn unknown_deletes_begin_a_counter_anew() {
    let first = || txn().add("n", 100).committed((1, 2), 10, &[added(100)]);
    let gone = || txn().delete("n").unknown((3, 4));
    let then = |value| txn().add("n", 1).committed((5, 6), 30, &[added(value)]);
    legal([first(), gone(), then(1), get((7, 8), 30, &[("n", seen("1", 30, 30))])]);
    legal([first(), gone(), then(101), get((7, 8), 30, &[("n", seen("101", 10, 30))])]);
    legal([first(), gone(), txn().add("n", 7).unknown((3, 4)), get((7, 8), 30, &[("n", seen("7", 25, 25))])]);
    illegal("it counted 0, not 100", [first(), then(1)]);
}

#[test]
fn a_counter_may_begin_anew_with_what_was_seen_by_its_other_writes() {
    let first = || txn().add("n", 100).committed((1, 2), 10, &[added(100)]);
    let gone = || txn().delete("n").unknown((3, 4));
    let with = |delta, value: &str| txn().add("n", delta).put("a", value).unknown((5, 6));
    let looks = |version, value: &str| get((7, 8), version, &[("a", seen(value, 20, version))]);
    let one = || [with(7, "x"), looks(20, "x")];
    let count = |version, value: &str, at| get((11, 12), 40, &[("n", seen(value, at, version))]);
    let then = |value| txn().add("n", 1).committed((9, 10), 40, &[added(value)]);
    for value in [8, 108, 1] {
        legal([first(), gone()].into_iter().chain(one()).chain([then(value)]));
    }
    illegal("it counted 7, not 107", [first()].into_iter().chain(one()).chain([then(8)]));
    legal([first(), gone()].into_iter().chain(one()).chain([count(20, "7", 20)]));
    legal([first(), gone()].into_iter().chain(one()).chain([count(20, "107", 10)]));
    illegal("it counts \"107\", not 7", [first(), gone()].into_iter().chain(one()).chain([count(20, "107", 20)]));
    illegal("created at 20", [first()].into_iter().chain(one()).chain([count(20, "7", 20)]));
    // Two of them, the key having come to be with the first one; and then one that nobody saw.
    let two = || one().into_iter().chain([with(30, "y"), looks(30, "y")]);
    legal([first(), gone()].into_iter().chain(two()).chain([count(30, "37", 20)]));
    legal(
        [first(), gone()].into_iter().chain(two()).chain([txn().add("n", 500).unknown((5, 6)), count(40, "537", 20)]),
    );
    illegal(
        "537",
        [first()].into_iter().chain(two()).chain([txn().add("n", 500).unknown((5, 6)), count(40, "537", 20)]),
    );
}

#[test]
fn a_key_may_have_come_to_be_with_an_unknown_put_that_was_seen() {
    let gone = || txn().delete("a").unknown((3, 4));
    let unknown = || txn().put("a", "y").put("b", "z").unknown((5, 6));
    let looks = || get((7, 8), 20, &[("b", seen("z", 20, 20))]);
    let then = |at| put((9, 10), 30, "a", "w", at);
    legal([x(), gone(), unknown(), looks(), then(20)]);
    legal([x(), gone(), unknown(), looks(), then(10)]);
    legal([x(), gone(), unknown(), looks(), then(30)]);
    illegal("created at 20", [x(), unknown(), looks(), then(20)]);
    // Or with one before it that nobody saw.
    let unseen = || txn().put("a", "v").unknown((3, 4));
    legal([x(), gone(), unseen(), unknown(), looks(), then(15)]);
    illegal("created at 15", [x(), unseen(), unknown(), looks(), then(15)]);
    illegal("created at 15", [x(), gone(), unknown(), looks(), then(15)]);
}

#[test]
fn too_many_steps_to_say_are_said() {
    let many = (0..40).map(|n| txn().add("n", 1 << n).unknown((1, 2)));
    let read = get((3, 4), 10, &[("n", seen("5", 9, 10))]);
    let summary = history(many.chain([read])).check().expect("nobody can say");
    assert_eq!((summary.undecided, summary.unknown), (1, 40));
}
