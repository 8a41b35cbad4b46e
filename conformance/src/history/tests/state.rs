//! Reads and single writes.

use super::*;

#[test]
fn a_read_returns_the_newest_write_at_its_revision() {
    let writes = || [put((1, 2), 10, "a", "x", 10), put((3, 4), 20, "a", "y", 10)];
    legal(writes().into_iter().chain([get((5, 6), 20, &[("a", seen("y", 10, 20))])]));
    legal(writes().into_iter().chain([get((5, 6), 99, &[("a", seen("y", 10, 20)), ("b", None)])]));
    illegal("the version 10 was found", writes().into_iter().chain([get((5, 6), 20, &[("a", seen("x", 10, 10))])]));
    illegal("nothing was found", writes().into_iter().chain([get((5, 6), 20, &[("a", None)])]));
    let put_and_unknown = [put((1, 2), 10, "a", "x", 10), txn().put("a", "y").unknown((1, 9))];
    illegal("two transactions", put_and_unknown.into_iter().chain([get((3, 4), 10, &[("a", seen("y", 10, 10))])]));
}

#[test]
fn an_overlapping_read_may_be_of_before_or_after() {
    for (revision, entry) in [(10, seen("x", 10, 10)), (20, seen("y", 10, 20))] {
        legal([put((1, 2), 10, "a", "x", 10), put((3, 9), 20, "a", "y", 10), get((4, 5), revision, &[("a", entry)])]);
    }
}

#[test]
fn a_read_is_not_older_than_what_had_returned() {
    let stale = get((5, 6), 10, &[("a", seen("x", 10, 10))]);
    illegal(
        "20 was known before it was called",
        [put((1, 2), 10, "a", "x", 10), put((3, 4), 20, "a", "y", 10), stale.clone()],
    );
    // Nor older than what another reader was told of a write that has not returned yet.
    let told = get((4, 4), 20, &[("a", seen("y", 10, 20))]);
    illegal("20 was known", [put((1, 2), 10, "a", "x", 10), put((3, 9), 20, "a", "y", 10), told, stale]);
}

#[test]
fn a_read_is_not_of_the_future() {
    illegal(
        "a write is of the revision 20, but 20 was known before it was called",
        [get((1, 2), 20, &[("a", seen("x", 20, 20))]), put((3, 4), 20, "a", "x", 20)],
    );
    illegal(
        "a write is of the revision 20, but 30 was known",
        [get((1, 2), 30, &[("a", None)]), put((3, 4), 20, "a", "x", 20)],
    );
    illegal(
        "which is after the revision 10",
        [put((1, 9), 20, "a", "x", 20), get((3, 4), 10, &[("a", seen("x", 20, 20))])],
    );
}

#[test]
fn revisions_respect_real_time_and_are_of_one_transaction() {
    legal([put((1, 4), 20, "a", "x", 20), put((2, 3), 10, "b", "y", 10)]);
    illegal("10, but 20 was known", [put((1, 2), 20, "a", "x", 20), put((3, 4), 10, "b", "y", 10)]);
    illegal("two transactions have the revision 10", [put((1, 4), 10, "a", "x", 10), put((2, 3), 10, "b", "y", 10)]);
}

#[test]
fn a_snapshot_is_of_one_revision() {
    let writes = || [put((1, 2), 10, "a", "1", 10), put((3, 9), 20, "a", "2", 10), put((3, 9), 30, "b", "3", 30)];
    let old = get((4, 5), 10, &[("a", seen("1", 10, 10)), ("b", None)]);
    legal(writes().into_iter().chain([old]));
    // Without the write between them: torn, whatever its revision says.
    let torn = |revision| get((4, 5), revision, &[("a", seen("1", 10, 10)), ("b", seen("3", 30, 30))]);
    illegal("the version 10 was found", writes().into_iter().chain([torn(30)]));
    illegal("which is after the revision 20", writes().into_iter().chain([torn(20)]));
}

#[test]
fn what_is_read_was_written_there_and_not_refused() {
    illegal("which nobody ever wrote", [get((1, 2), 10, &[("a", seen("x", 10, 10))])]);
    illegal(
        "which was written to \"b\"",
        [put((1, 2), 10, "b", "x", 10), get((3, 4), 10, &[("a", seen("x", 10, 10))])],
    );
    illegal("surely not applied", [txn().put("a", "x").failed((1, 2)), get((3, 4), 10, &[("a", seen("x", 10, 10))])]);
    let refused = txn().guard("a", Condition::Present).put("a", "x").refused((1, 2), 0, None, 5);
    illegal("holds what was refused", [refused, get((3, 4), 10, &[("a", seen("x", 10, 10))])]);
    illegal(
        "was written at the revision 10, but it was seen at the version 11",
        [put((1, 2), 10, "a", "x", 10), get((3, 4), 11, &[("a", seen("x", 10, 11))])],
    );
}

#[test]
fn created_stays_until_the_key_is_deleted() {
    let delete = || txn().delete("a").committed((3, 4), 20, &[deleted(true)]);
    legal([put((1, 2), 10, "a", "x", 10), delete(), put((5, 6), 30, "a", "y", 30)]);
    illegal("created at 10", [put((1, 2), 10, "a", "x", 10), delete(), put((5, 6), 30, "a", "y", 10)]);
    illegal("created at 30", [put((1, 2), 10, "a", "x", 10), put((5, 6), 30, "a", "y", 30)]);
    illegal("it was created at 9", [put((1, 2), 10, "a", "x", 10), get((3, 4), 10, &[("a", seen("x", 9, 10))])]);
    illegal(
        "was created after its version",
        [put((1, 2), 10, "a", "x", 10), get((3, 4), 10, &[("a", seen("x", 11, 10))])],
    );
}

#[test]
fn deletes_say_whether_there_was_something() {
    let delete = |revision, existed| txn().delete("a").committed((3, 4), revision, &[deleted(existed)]);
    legal([put((1, 2), 10, "a", "x", 10), delete(20, true), get((5, 6), 20, &[("a", None)])]);
    legal([get((1, 2), 10, &[("a", None)]), delete(10, false)]);
    illegal("nothing was found", [put((1, 2), 10, "a", "x", 10), delete(10, false)]);
    illegal("something was found", [get((1, 2), 10, &[("a", None)]), delete(20, true)]);
    illegal(
        "it is not there since the revision 20",
        [put((1, 2), 10, "a", "x", 10), delete(20, true), get((5, 6), 30, &[("a", seen("x", 10, 10))])],
    );
}

#[test]
fn counters_add_up() {
    let add = |span, revision, delta, value| txn().add("n", delta).committed(span, revision, &[added(value)]);
    legal([add((1, 2), 10, 5, 5), add((3, 4), 20, -7, -2), get((5, 6), 20, &[("n", seen("-2", 10, 20))])]);
    illegal("it counted 0, not 5", [add((1, 2), 10, 5, 5), add((3, 4), 20, 1, 1)]);
    illegal("it counts \"6\", not 5", [add((1, 2), 10, 5, 5), get((3, 4), 10, &[("n", seen("6", 10, 10))])]);
    illegal("it counts \"+5\"", [add((1, 2), 10, 5, 5), get((3, 4), 10, &[("n", seen("+5", 10, 10))])]);
    illegal("the version 11", [add((1, 2), 10, 5, 5), get((3, 4), 12, &[("n", seen("5", 10, 11))])]);
    let gone = txn().delete("n").committed((3, 4), 20, &[deleted(true)]);
    legal([add((1, 2), 10, 5, 5), gone, add((5, 6), 30, 2, 2), get((7, 8), 30, &[("n", seen("2", 30, 30))])]);
}

#[test]
fn an_answer_has_a_result_per_part() {
    illegal(
        "an entry per key",
        [operation(
            (1, 2),
            Event::Get {
                keys: vec![key("a")],
                reply: Reply::Answered(Read { revision: Revision(1), entries: Vec::new() }),
            },
        )],
    );
    illegal("does not fit", [txn().put("a", "x").committed((1, 2), 10, &[])]);
    illegal("does not fit", [txn().put("a", "x").committed((1, 2), 10, &[added(1)])]);
    illegal("does not fit", [txn().put("a", "x").refused((1, 2), 0, None, 10)]);
}

#[test]
fn a_violation_shows_the_seed_and_the_operations() {
    let violation = illegal("(seed 7)", [put((1, 2), 10, "a", "x", 10), get((3, 4), 20, &[("a", None)])]);
    let text = violation.to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    let shown: Vec<Operation> =
        lines[1..].iter().map(|line| serde_json::from_str(line).expect("a line of the history")).collect();
    assert_eq!(shown, violation.operations);
}
