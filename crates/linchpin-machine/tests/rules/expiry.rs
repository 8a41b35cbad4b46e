use crate::{at, commit, key, millis, put, read, version};
use linchpin_adapter::fanout::Change;
use linchpin_core::{Outcome, Page, Range, Revision, Transaction};
use linchpin_machine::{Machine, Time};

#[test]
fn a_key_is_there_before_its_deadline_and_gone_from_then_on() {
    let mut machine = Machine::new();
    commit(&mut machine, at(0), &put("a", "1", Some(10)));
    let deadline = at(10);
    let just_before = Time::from_micros(deadline.as_micros() - 1);
    assert_eq!(read(&machine, just_before, "a").expect("present").ttl, Some(std::time::Duration::from_micros(1)));
    assert_eq!(machine.tick(just_before).changes, []);
    assert_eq!(read(&machine, deadline, "a"), None, "absent before it is swept");
    assert_eq!(machine.scan(deadline, &Range::all(), &Page::first()).entries, []);
    assert_eq!(
        machine.tick(deadline).changes,
        [Change::Deleted(key("a"), Revision(deadline.as_micros()))],
        "swept with a revision of its own"
    );
    assert_eq!(machine.tick(deadline).changes, []);
}

#[test]
fn expired_keys_go_before_guards_are_looked_at_each_with_its_own_revision() {
    let mut machine = Machine::new();
    commit(&mut machine, at(0), &put("b", "1", Some(10)));
    commit(&mut machine, at(0), &put("a", "1", Some(20)));
    let applied = machine.commit(at(30), &Transaction::new().absent(key("a")).put(key("a"), "2", None));
    let first = at(30).as_micros();
    let [Change::Deleted(b, one), Change::Deleted(a, two), Change::Put(entry)] = applied.changes.as_slice() else {
        panic!("{:?}", applied.changes)
    };
    assert_eq!((b.as_str(), *one, a.as_str(), *two), ("b", Revision(first), "a", Revision(first + 1)));
    assert_eq!((entry.created, entry.version), (Revision(first + 2), Revision(first + 2)));
    assert!(matches!(applied.outcome, Ok(Outcome::Committed { .. })));
}

#[test]
fn expiry_is_told_even_where_the_call_itself_fails() {
    let mut machine = Machine::new();
    commit(&mut machine, at(0), &put("a", "1", Some(10)));
    commit(&mut machine, at(0), &put("n", "x", None));
    let applied = machine.commit(at(10), &Transaction::new().add(key("n"), 1, None));
    assert!(applied.outcome.is_err());
    assert_eq!(applied.changes.len(), 1);
}

#[test]
fn a_clock_that_steps_back_revives_nothing_and_moves_no_revision_back() {
    let mut machine = Machine::new();
    commit(&mut machine, at(0), &put("a", "1", Some(10)));
    drop(machine.tick(at(10)));
    assert_eq!((read(&machine, at(0), "a"), machine.clock()), (None, at(10)));

    let before = machine.revision();
    assert!(commit(&mut machine, at(1), &put("a", "1", Some(10))).revision() > before);
    assert_eq!(machine.next_deadline(), Some(at(20)), "the ttl counts from the machine's own clock");
    assert_eq!(read(&machine, at(1), "a").expect("present").ttl, Some(millis(10)));
}

#[test]
fn the_next_deadline_is_the_earliest_one_that_still_stands() {
    let mut machine = Machine::new();
    assert_eq!(machine.next_deadline(), None);
    commit(&mut machine, at(0), &put("a", "1", Some(10)));
    commit(&mut machine, at(0), &put("b", "1", Some(20)));
    assert_eq!(machine.next_deadline(), Some(at(10)));
    let current = version(&machine, at(0), "a");
    commit(&mut machine, at(0), &Transaction::new().extend(key("a"), current, millis(30)));
    assert_eq!(machine.next_deadline(), Some(at(20)));
    commit(&mut machine, at(0), &Transaction::new().delete(key("b")));
    assert_eq!(machine.next_deadline(), Some(at(30)));
    commit(&mut machine, at(0), &put("a", "1", None));
    assert_eq!(machine.next_deadline(), None);
}

#[test]
fn a_ttl_of_parts_of_a_microsecond_is_granted_whole() {
    let mut machine = Machine::new();
    let put = Transaction::new().put(key("a"), "1", Some(std::time::Duration::from_nanos(1001)));
    let outcome = commit(&mut machine, at(0), &put);
    let granted = Some(std::time::Duration::from_micros(2));
    assert!(matches!(outcome.results(), Some([linchpin_core::MutationResult::Put { ttl, .. }]) if *ttl == granted));
    assert_eq!(read(&machine, at(0), "a").expect("present").ttl, granted);
}
