use super::*;
use crate::envelope::{Enclosed, Part};
use linchpin_core::{Key, Outcome, Transaction};
use linchpin_machine::Command;
use std::time::Duration;

/// A log and whoever appends to it.
#[derive(Default)]
struct Written {
    records: Vec<LogRecord>,
}

impl Written {
    fn put(&mut self, at: u64, envelope: &Envelope) -> LogRecord {
        let (offset, time) = (self.records.len() as u64, Time::from_micros(at));
        let record = LogRecord { offset, time, body: envelope.encode() };
        self.records.push(record.clone());
        record
    }
}

fn encoded(command: &Command) -> Bytes {
    command.encode().expect("encodes").into()
}

fn add(author: u128, sequence: u64, not_after: u64) -> Envelope {
    let command = Command::Commit(Transaction::new().add(Key::new("n").expect("valid"), 1, None));
    of(author, sequence, Some(not_after), &command)
}

fn of(author: u128, sequence: u64, not_after: Option<u64>, command: &Command) -> Envelope {
    let not_after = not_after.map(Time::from_micros);
    let commands = vec![Enclosed { sequence, not_after, part: Part::WHOLE, body: encoded(command) }];
    Envelope { author: Author(author), done: 0, read: Mark { offset: u64::MAX, hash: 0 }, commands }
}

fn count(replica: &Replica) -> Option<String> {
    let found = replica.machine.get(replica.now(), &[Key::new("n").expect("valid")]);
    found.into_entry().map(|entry| String::from_utf8_lossy(&entry.value).into_owned())
}

/// How many of the commands were committed.
fn committed(taken: &[Taken]) -> usize {
    let is_committed = |taken: &&Taken| {
        matches!(&taken.verdict, Verdict::Applied(effects)
            if matches!(effects.outcome, Ok(Reply::Decided(Outcome::Committed { .. }))))
    };
    taken.iter().filter(is_committed).count()
}

#[test]
fn what_comes_twice_counts_once_and_what_comes_late_counts_for_nothing() {
    let (mut log, mut replica) = (Written::default(), Replica::new(7));
    let mut take = |replica: &mut Replica, at, envelope: &Envelope| {
        replica.take(&log.put(at, envelope)).map(|taken| committed(&taken) == 1).expect("the next one")
    };
    assert!(take(&mut replica, 10, &add(1, 2, 50)));
    assert!(take(&mut replica, 11, &add(1, 1, 50)), "in whatever order they come");
    assert!(!take(&mut replica, 12, &add(1, 2, 50)) && !take(&mut replica, 13, &add(1, 1, 50)));
    assert!(take(&mut replica, 14, &add(2, 1, 50)), "of another author");
    // Those before are settled, whatever became of them.
    assert!(take(&mut replica, 15, &Envelope { done: 4, ..add(1, 6, 50) }));
    assert!(!take(&mut replica, 16, &add(1, 4, 50)));
    assert!(take(&mut replica, 17, &add(1, 5, 50)), "and no other");
    assert!(!take(&mut replica, 51, &add(1, 7, 50)), "too late");
    assert_eq!(count(&replica).as_deref(), Some("5"));
}

#[test]
fn authors_are_forgotten_once_nothing_of_them_counts() {
    let (mut log, mut replica) = (Written::default(), Replica::new(7));
    for number in 0..FORGETS * 3 {
        let record = log.put(number, &add(u128::from(number), 1, number + 10));
        replica.take(&record).map(drop).expect("the next one");
    }
    assert!(replica.authors.len() <= 11, "{} are known", replica.authors.len());
}

#[test]
fn a_clock_that_steps_back_revives_nothing_and_goes_on() {
    let (mut log, mut replica) = (Written::default(), Replica::new(7));
    let key = || Key::new("k").expect("valid");
    let ttl = Some(Duration::from_micros(100));
    let put = Command::Commit(Transaction::new().put(key(), "v", ttl));
    let tick = of(1, 0, None, &Command::Tick);
    let mut take = |replica: &mut Replica, at, envelope: &Envelope| {
        replica.take(&log.put(at, envelope)).map(drop).expect("the next one");
        replica.machine.get(replica.now(), &[key()]).into_entry().is_some()
    };
    assert!(take(&mut replica, 1000, &of(1, 1, Some(5000), &put)));
    assert!(take(&mut replica, 1060, &tick));
    assert!(take(&mut replica, 500, &tick), "it stands still");
    assert!(take(&mut replica, 539, &tick));
    assert!(!take(&mut replica, 540, &tick), "it has gone on as the log's");
    assert!(!take(&mut replica, 100, &tick));
}

#[test]
fn a_gap_and_another_history_are_noticed() {
    let (mut log, mut replica) = (Written::default(), Replica::new(7));
    let take = |replica: &mut Replica, record: &LogRecord| replica.take(record).map(drop);
    let first = log.put(1, &add(1, 1, 9));
    take(&mut replica, &first).expect("the next one");
    assert!(matches!(take(&mut replica, &first), Err(Fault::Gap)));
    let missing = LogRecord { offset: 2, ..first };
    assert!(matches!(take(&mut replica, &missing), Err(Fault::Gap)));
    let right = Envelope { read: replica.mark(), ..add(1, 2, 9) };
    take(&mut replica, &log.put(2, &right)).expect("the same history");
    let wrong = Mark { hash: right.read.hash ^ 1, ..right.read };
    let other = log.put(3, &Envelope { read: wrong, ..add(3, 1, 9) });
    assert!(matches!(take(&mut replica, &other), Err(Fault::Diverged(Author(3)))));
    replica.distrust(Author(3));
    take(&mut replica, &other).expect("what it came to is of no interest");
}

#[test]
fn a_snapshot_goes_on_as_it_would_have_and_a_torn_one_is_none() {
    let (mut log, mut replica) = (Written::default(), Replica::new(7));
    for number in 0..20 {
        replica.take(&log.put(100 - number, &add(u128::from(number % 3), number, 1000))).map(drop).expect("the next");
    }
    let bytes = replica.image().encode().expect("encodes");
    let mut restored = Replica::restore(&bytes).expect("whole");
    assert!((0..bytes.len()).step_by(7).all(|cut| Replica::restore(&bytes[..cut]).is_none()));
    for number in 10..40 {
        let record = log.put(200, &add(u128::from(number % 3), number, 1000));
        let [one, other] = [&mut replica, &mut restored].map(|replica| {
            let taken = replica.take(&record).expect("the next one");
            (committed(&taken), taken.len(), replica.mark(), replica.now())
        });
        assert_eq!(one, other);
    }
    assert_eq!(replica.image().encode().expect("encodes"), restored.image().encode().expect("encodes"));
    assert_eq!(count(&replica), count(&restored));
}

#[test]
fn what_is_not_ours_is_passed_over_and_a_newer_build_is_told() {
    let mut replica = Replica::new(7);
    let record = |offset, body: &[u8]| LogRecord { offset, time: Time::from_micros(1), body: body.to_vec().into() };
    let taken = replica.take(&record(0, b"hello")).expect("the next one");
    assert!(taken.is_empty());
    assert!(matches!(replica.take(&record(1, b"linchpin\x09")), Err(Fault::Unknown(_))));
    assert_eq!(replica.next(), 1, "nothing was changed");
}

#[test]
fn a_command_in_parts_counts_once_as_the_last_of_them_has_come_in_time() {
    let (mut log, mut replica) = (Written::default(), Replica::new(7));
    let parts = |sequence| {
        let whole = add(1, sequence, 50);
        let records = whole.clone().into_records(whole.encode().len() - whole.commands[0].body.len() * 3 / 5);
        let parts: Vec<_> = records.iter().map(|part| Envelope::decode(part).expect("ours").expect("ours")).collect();
        assert_eq!(parts.len(), 3);
        parts
    };
    let mut take = |replica: &mut Replica, at, envelope: &Envelope| {
        replica.take(&log.put(at, envelope)).map(|taken| committed(&taken) == 1).expect("the next one")
    };
    let three = parts(1);
    for (part, counts) in [(2, false), (0, false), (2, false), (1, true), (0, false), (1, false), (2, false)] {
        assert_eq!(take(&mut replica, 10, &three[part]), counts);
        replica = Replica::restore(&replica.image().encode().expect("encodes")).expect("whole");
    }
    for part in &parts(2)[1..] {
        assert!(!take(&mut replica, 11, part));
    }
    assert!(!take(&mut replica, 51, &parts(2)[0]), "too late");
    assert_eq!(count(&replica).as_deref(), Some("1"));
    assert!(take(&mut replica, 52, &Envelope { done: 2, ..add(1, 3, 60) }));
    assert!(replica.authors[&Author(1)].parts.is_empty(), "nobody asks for them any more");
}

#[test]
fn commands_of_a_record_are_applied_one_after_the_other_and_each_once() {
    let (mut log, mut replica) = (Written::default(), Replica::new(7));
    let together = |numbers: &[u64]| {
        let commands = numbers.iter().flat_map(|number| add(1, *number, 50).commands).collect();
        Envelope { done: 1, commands, ..add(1, 0, 0) }
    };
    let mut take = |replica: &mut Replica, at, envelope: &Envelope| {
        let taken = replica.take(&log.put(at, envelope)).expect("the next one");
        (taken.iter().map(|taken| taken.sequence).collect::<Vec<_>>(), committed(&taken))
    };
    assert_eq!(take(&mut replica, 10, &together(&[2, 3, 3])), (vec![2, 3, 3], 2));
    assert_eq!(take(&mut replica, 11, &together(&[3, 4])), (vec![3, 4], 1), "one that was sent again beside a new one");
    assert_eq!(take(&mut replica, 12, &together(&[])), (vec![], 0));
    assert_eq!(take(&mut replica, 51, &together(&[5, 6])), (vec![5, 6], 0), "too late");
    assert_eq!(count(&replica).as_deref(), Some("3"));
}
