use crate::{at, commit, key, millis, put, read, result, version};
use linchpin_adapter::fanout::Change;
use linchpin_core::{ErrorKind, Mutation, MutationResult, Outcome, Retry, Revision, Transaction, TransactionId};
use linchpin_machine::{ID_WINDOW, Machine};

#[test]
fn the_first_guard_that_fails_is_told_with_what_stood_there() {
    let mut machine = Machine::new();
    commit(&mut machine, at(0), &put("a", "1", Some(100)));
    let wrong = Transaction::new().present(key("a")).absent(key("a")).present(key("b")).delete(key("a"));
    let outcome = commit(&mut machine, at(40), &wrong);
    let Outcome::Refused { guard: 1, found: Some(found), revision } = outcome else { panic!("{outcome:?}") };
    assert_eq!((found.value.as_ref(), found.ttl), (&b"1"[..], Some(millis(60))));
    assert_eq!((found.version, revision), (machine.revision(), machine.revision()));

    let missing = Transaction::new().version_is(key("b"), Revision(1));
    assert!(matches!(commit(&mut machine, at(40), &missing), Outcome::Refused { guard: 0, found: None, .. }));
    assert!(read(&machine, at(40), "a").is_some(), "a refused transaction changes nothing");
}

#[test]
fn writes_of_a_commit_share_a_revision_that_follows_the_clock() {
    let mut machine = Machine::new();
    let both = Transaction::new().put(key("a"), "1", None).put(key("b"), "1", None);
    let first = commit(&mut machine, at(5), &both).revision();
    assert_eq!(first, Revision(at(5).as_micros()));
    assert_eq!((version(&machine, at(5), "a"), version(&machine, at(5), "b")), (first, first));

    let again = machine.commit(at(5), &put("a", "2", None));
    assert_eq!(again.outcome.expect("decided").revision(), Revision(first.0 + 1), "twice within a microsecond");
    let [Change::Put(entry)] = again.changes.as_slice() else { panic!("one put: {:?}", again.changes) };
    assert_eq!((entry.created, entry.version), (first, Revision(first.0 + 1)));
}

#[test]
fn what_changes_nothing_makes_no_revision_and_no_event() {
    let mut machine = Machine::new();
    commit(&mut machine, at(0), &put("a", "1", Some(100)));
    let before = machine.revision();
    let nothing = Transaction::new().present(key("a")).delete(key("gone")).extend(key("a"), before, millis(9)).extend(
        key("gone"),
        before,
        millis(9),
    );
    let applied = machine.commit(at(1), &nothing);
    assert_eq!(applied.changes, []);
    let Ok(Outcome::Committed { revision, results }) = applied.outcome else { panic!("{:?}", applied.outcome) };
    let expected = [
        MutationResult::Deleted { existed: false },
        MutationResult::Extended { ttl: Some(millis(9)) },
        MutationResult::Extended { ttl: None },
    ];
    assert_eq!((revision, results.as_slice()), (before, &expected[..]));
}

#[test]
fn a_deleted_key_comes_back_with_a_new_creation() {
    let mut machine = Machine::new();
    let first = commit(&mut machine, at(0), &put("a", "1", None)).revision();
    let deleted = machine.commit(at(0), &Transaction::new().delete(key("a")));
    assert_eq!(deleted.changes, [Change::Deleted(key("a"), Revision(first.0 + 1))]);
    let second = commit(&mut machine, at(0), &put("a", "1", None));
    assert_eq!(second.results(), Some(&[MutationResult::Put { created: Revision(first.0 + 2), ttl: None }][..]));
}

#[test]
fn ttls_are_granted_cleared_kept_and_extended() {
    let mut machine = Machine::new();
    let ttl = |machine: &Machine, now| read(machine, at(now), "a").expect("present").ttl;
    commit(&mut machine, at(0), &put("a", "1", Some(100)));
    commit(&mut machine, at(10), &put("a", "1", None));
    assert_eq!(ttl(&machine, 10), None, "a put without a ttl clears it");

    commit(&mut machine, at(10), &put("a", "1", Some(100)));
    let add = Mutation::Add { key: key("a"), delta: 1, ttl: Some(millis(1)) };
    result(&mut machine, at(20), add);
    assert_eq!(ttl(&machine, 20), Some(millis(90)), "adding to a counter keeps its ttl");

    let current = version(&machine, at(20), "a");
    let extend = |version, ttl| Mutation::Extend { key: key("a"), version, ttl: millis(ttl) };
    assert_eq!(result(&mut machine, at(20), extend(current, 200)), MutationResult::Extended { ttl: Some(millis(200)) },);
    assert_eq!((ttl(&machine, 20), version(&machine, at(20), "a")), (Some(millis(200)), current));
    result(&mut machine, at(20), extend(current, 30));
    assert_eq!(ttl(&machine, 20), Some(millis(200)), "an extension never shortens");
    let stale = extend(Revision(current.0 - 1), 500);
    assert_eq!(result(&mut machine, at(20), stale), MutationResult::Extended { ttl: None });
    assert_eq!(ttl(&machine, 20), Some(millis(200)));

    let add = Mutation::Add { key: key("new"), delta: 1, ttl: Some(millis(7)) };
    assert_eq!(result(&mut machine, at(20), add), MutationResult::Added { value: 1 });
    assert_eq!(read(&machine, at(20), "new").expect("present").ttl, Some(millis(7)), "a new counter has its ttl");
}

#[test]
fn counters_are_decimal_text_and_nothing_else() {
    for (value, delta, expected) in [
        ("5", 3, Some(8)),
        ("-5", 3, Some(-2)),
        ("007", 0, None),
        ("-0", 1, None),
        ("0", 7, Some(7)),
        ("9223372036854775807", 0, Some(i64::MAX)),
        ("9223372036854775807", 1, None),
        ("-9223372036854775808", -1, None),
        ("9223372036854775808", -1, None),
        ("+5", 1, None),
        (" 5", 1, None),
        ("5 ", 1, None),
        ("", 1, None),
        ("-", 1, None),
        ("0x5", 1, None),
        ("5.0", 1, None),
        ("\u{665}", 1, None),
    ] {
        let mut machine = Machine::new();
        commit(&mut machine, at(0), &put("n", value, None));
        let before = machine.revision();
        let add = Transaction::new().put(key("other"), "1", None).add(key("n"), delta, None);
        match (machine.commit(at(1), &add).outcome, expected) {
            (Ok(outcome), Some(sum)) => {
                assert_eq!(outcome.results().expect("committed")[1], MutationResult::Added { value: sum });
                assert_eq!(read(&machine, at(1), "n").expect("present").value, sum.to_string());
            }
            (Err(error), None) => {
                assert_eq!((error.kind(), error.retry()), (ErrorKind::Conflict, Retry::Never));
                assert_eq!((error.operation(), error.subject()), ("commit", Some("n")));
                assert_eq!(machine.revision(), before, "{value:?}");
                assert_eq!(read(&machine, at(1), "other"), None, "{value:?} failed, so nothing is applied");
            }
            (outcome, _) => panic!("{value:?} + {delta}: {outcome:?}"),
        }
    }
}

#[test]
fn a_repeated_id_gets_the_first_outcome_within_its_window() {
    let mut machine = Machine::new();
    let add = Transaction::new().add(key("n"), 1, None).with_id(TransactionId(u128::MAX));
    let first = commit(&mut machine, at(0), &add);
    let repeat = machine.commit(at(59_999), &add);
    assert_eq!((repeat.outcome.expect("decided"), repeat.changes), (first.clone(), vec![]));

    let other = Transaction::new().add(key("n"), 2, None).with_id(TransactionId(u128::MAX));
    let error = machine.commit(at(59_999), &other).outcome.expect_err("another transaction");
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Conflict, Retry::Never));

    let later = at(0).after(ID_WINDOW);
    assert_ne!(commit(&mut machine, later, &add), first, "forgotten");
    assert_eq!(read(&machine, later, "n").expect("present").value, "2");
}

#[test]
fn a_refusal_is_remembered_too() {
    let mut machine = Machine::new();
    let guarded = Transaction::new().present(key("a")).add(key("n"), 1, None).with_id(TransactionId(7));
    let refused = commit(&mut machine, at(0), &guarded);
    assert!(!refused.is_committed());
    commit(&mut machine, at(0), &Transaction::new().put(key("a"), "", None));
    assert_eq!(commit(&mut machine, at(0), &guarded), refused, "what was refused once is not applied by a late repeat");
    assert!(commit(&mut machine, at(0), &guarded.with_id(TransactionId(8))).is_committed());
}

#[test]
fn pages_ascend_and_say_whether_there_is_more() {
    use linchpin_core::{Page, Range};
    let mut machine = Machine::new();
    for name in ["b", "a/2", "a/10", "a", "a/", "aé", "a/1"] {
        commit(&mut machine, at(0), &put(name, "1", None));
    }
    commit(&mut machine, at(0), &put("a/3", "1", Some(5)));
    let scan = |now, range: &Range, page: &Page| {
        let found = machine.scan(at(now), range, page);
        (found.entries.iter().map(|entry| entry.key.as_str().to_owned()).collect::<Vec<_>>().join(" "), found.more)
    };
    let range = Range::prefix("a/").expect("valid");
    let page = |after: Option<&str>, limit| Page { after: after.map(key), limit, values: true };
    assert_eq!(scan(0, &range, &Page::first()), ("a/ a/1 a/10 a/2 a/3".to_owned(), false));
    assert_eq!(scan(5, &range, &Page::first()), ("a/ a/1 a/10 a/2".to_owned(), false));
    assert_eq!(scan(0, &range, &page(Some("a/1"), 2)), ("a/10 a/2".to_owned(), true));
    assert_eq!(scan(5, &range, &page(Some("a/1"), 2)), ("a/10 a/2".to_owned(), false));
    assert_eq!(scan(0, &range, &page(Some("A"), 1)), ("a/".to_owned(), true));
    assert_eq!(scan(0, &range, &page(Some("z"), 1)), (String::new(), false));
    assert_eq!(scan(0, &Range::Key(key("a")), &page(None, 1)), ("a".to_owned(), false));
    assert_eq!(scan(0, &Range::Key(key("a")), &page(Some("a"), 1)), (String::new(), false));
    assert_eq!(scan(9, &Range::all(), &Page::first()), ("a a/ a/1 a/10 a/2 aé b".to_owned(), false));

    let bare = machine.scan(at(0), &range, &Page::first_keys());
    assert!(bare.entries.iter().all(|entry| entry.value.is_empty()));
}

#[test]
fn debug_shows_no_payload() {
    let mut machine = Machine::new();
    let secret = Transaction::new().put(key("a"), "canary", None);
    let applied = machine.commit(at(0), &secret);
    let command = linchpin_machine::Command::Commit(secret);
    let shown = format!("{machine:?} {applied:?} {command:?} {:?}", machine.snapshot());
    assert!(!shown.contains("canary") && !shown.contains("99, 97"), "{shown}");
}

#[test]
fn clearing_removes_what_starts_with_the_prefix_and_never_restarts_revisions() {
    let mut machine = Machine::new();
    for name in ["a/1", "a/2", "b"] {
        commit(&mut machine, at(0), &put(name, "1", None));
    }
    let remembered = put("b", "2", None).with_id(TransactionId(1));
    let outcome = commit(&mut machine, at(0), &remembered);
    let before = machine.revision();
    let cleared = Revision(before.0 + 1);
    assert_eq!(
        machine.clear(at(0), "a/").changes,
        [Change::Deleted(key("a/1"), cleared), Change::Deleted(key("a/2"), cleared)]
    );
    assert_eq!(machine.clear(at(0), "a/").changes, []);
    assert_eq!(machine.revision(), cleared);
    assert_eq!(machine.clear(at(0), "").changes, [Change::Deleted(key("b"), Revision(cleared.0 + 1))]);
    assert_eq!(commit(&mut machine, at(0), &remembered), outcome, "remembered transactions survive");
    assert!(commit(&mut machine, at(0), &put("b", "3", None)).revision() > outcome.revision());
}
