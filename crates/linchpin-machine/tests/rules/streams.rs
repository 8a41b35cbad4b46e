use crate::{at, millis};
use linchpin_core::{
    Action, Claim, Delivery, GroupName, MemberName, Position, Record, Retention, Settled, Settlement, StreamInfo,
    StreamName, dead_letter,
};
use linchpin_machine::{DEDUPE_WINDOW, Machine, Time};

fn stream() -> StreamName {
    StreamName::new("s").expect("valid")
}

fn group(name: &str) -> GroupName {
    GroupName::new(name).expect("valid")
}

/// A claim of everything there is, visible for 100 ms.
fn claim(name: &str) -> Claim {
    Claim::new(stream(), group(name), MemberName::new("m").expect("valid")).max(100).visibility(millis(100))
}

fn append(machine: &mut Machine, now: Time, payloads: &[&'static str]) {
    let records: Vec<Record> = payloads.iter().map(|payload| Record::new(*payload)).collect();
    append_records(machine, now, &records);
}

fn append_records(machine: &mut Machine, now: Time, records: &[Record]) {
    let _ = machine.append(now, &stream(), records);
}

fn take(machine: &mut Machine, now: Time, claim: &Claim) -> Vec<Delivery> {
    machine.claim(now, claim).outcome.deliveries
}

/// What was delivered, as `payload#delivery`.
fn told(deliveries: &[Delivery]) -> String {
    let told = |d: &Delivery| format!("{}#{}", String::from_utf8_lossy(&d.payload), d.receipt.delivery);
    deliveries.iter().map(told).collect::<Vec<_>>().join(" ")
}

fn settle(machine: &mut Machine, now: Time, delivery: &Delivery, action: Action) -> Settled {
    machine.settle(now, &[Settlement { receipt: delivery.receipt.clone(), action }]).outcome[0]
}

fn retry(after: u64) -> Action {
    Action::Retry { after: millis(after) }
}

fn reject(reason: &str) -> Action {
    Action::Reject { reason: reason.to_owned() }
}

fn dead_letters(machine: &mut Machine, now: Time) -> Vec<Delivery> {
    let dead = stream().dead_letters(&group("g"));
    take(machine, now, &Claim { stream: dead, ..claim("undertaker") })
}

#[test]
fn every_group_sees_every_record_once_while_it_is_held() {
    let mut machine = Machine::new();
    append(&mut machine, at(0), &["a", "b"]);
    assert_eq!(told(&take(&mut machine, at(0), &claim("g").max(1))), "a#1");
    assert_eq!(told(&take(&mut machine, at(0), &claim("g"))), "b#1");
    assert_eq!(told(&take(&mut machine, at(0), &claim("g"))), "");
    assert_eq!(told(&take(&mut machine, at(0), &claim("h"))), "a#1 b#1");
}

#[test]
fn positions_count_from_one_and_ids_are_appended_once_per_window() {
    let mut machine = Machine::new();
    let named = |id: &str| Record::new("x").with_id(id).expect("valid");
    let appended = machine.append(at(0), &stream(), &[named("1"), Record::new("y"), named("1"), named("2")]).outcome;
    let told: Vec<_> = appended.iter().map(|a| (a.position.0, a.duplicate)).collect();
    assert_eq!(told, [(1, false), (2, false), (1, true), (3, false)]);

    let just_before = Time::from_micros(at(0).after(DEDUPE_WINDOW).as_micros() - 1);
    let repeat = machine.append(just_before, &stream(), &[named("2")]);
    assert!(repeat.outcome[0].duplicate && repeat.woken.is_empty());
    let later = machine.append(at(0).after(DEDUPE_WINDOW), &stream(), &[named("2")]);
    assert!(!later.outcome[0].duplicate && later.outcome[0].position == Position(4));
}

#[test]
fn an_abandoned_record_comes_again_with_a_higher_count_before_fresh_ones() {
    let mut machine = Machine::new();
    append(&mut machine, at(0), &["a", "b", "c"]);
    let first = take(&mut machine, at(0), &claim("g").max(2));
    append(&mut machine, at(0), &["d"]);
    assert_eq!(told(&take(&mut machine, at(99), &claim("g").max(1))), "c#1");
    assert_eq!(told(&take(&mut machine, at(100), &claim("g"))), "a#2 b#2 d#1");
    assert_eq!(settle(&mut machine, at(100), &first[0], Action::Ack), Settled::Stale, "delivered again meanwhile");
}

#[test]
fn a_late_settlement_counts_until_the_record_is_delivered_again() {
    let mut machine = Machine::new();
    append(&mut machine, at(0), &["a"]);
    let held = take(&mut machine, at(0), &claim("g"));
    assert_eq!(settle(&mut machine, at(500), &held[0], Action::Ack), Settled::Done);
    assert_eq!(settle(&mut machine, at(500), &held[0], Action::Ack), Settled::Stale, "settled before");
    assert_eq!(told(&take(&mut machine, at(900), &claim("g"))), "");
}

#[test]
fn a_retry_is_held_back_and_its_receipt_is_used_up() {
    let mut machine = Machine::new();
    append(&mut machine, at(0), &["a"]);
    let held = take(&mut machine, at(0), &claim("g"));
    assert_eq!(settle(&mut machine, at(10), &held[0], retry(50)), Settled::Done);
    for action in [Action::Ack, retry(0), Action::Extend { visibility: millis(1) }, reject("no")] {
        assert_eq!(settle(&mut machine, at(50), &held[0], action), Settled::Stale);
    }
    assert_eq!(told(&take(&mut machine, at(59), &claim("g"))), "");
    assert_eq!(settle(&mut machine, at(60), &held[0], Action::Ack), Settled::Stale, "due, but settled before");
    assert_eq!(told(&take(&mut machine, at(60), &claim("g"))), "a#2");
}

#[test]
fn an_extension_keeps_the_record_from_then_on_and_may_shorten() {
    let mut machine = Machine::new();
    append(&mut machine, at(0), &["a"]);
    let held = take(&mut machine, at(0), &claim("g"));
    let extend = |visibility| Action::Extend { visibility: millis(visibility) };
    assert_eq!(settle(&mut machine, at(90), &held[0], extend(100)), Settled::Done);
    assert_eq!(told(&take(&mut machine, at(189), &claim("g"))), "");
    assert_eq!(settle(&mut machine, at(300), &held[0], extend(10)), Settled::Done, "late, but nobody has it");
    assert_eq!(told(&take(&mut machine, at(309), &claim("g"))), "");
    assert_eq!(told(&take(&mut machine, at(310), &claim("g"))), "a#2");
}

#[test]
fn a_delay_holds_back_one_record_and_not_those_behind_it() {
    let mut machine = Machine::new();
    let late = Record::new("late").with_delay(millis(50));
    append_records(&mut machine, at(0), &[late, Record::new("now")]);
    let claimed = machine.claim(at(0), &claim("g").visibility(millis(900))).outcome;
    assert_eq!((told(&claimed.deliveries).as_str(), claimed.next_due), ("now#1", Some(at(50))));
    assert_eq!(told(&take(&mut machine, at(49), &claim("g"))), "");
    assert_eq!(told(&take(&mut machine, at(50), &claim("g"))), "late#1");
    assert_eq!(told(&take(&mut machine, at(50), &claim("h"))), "late#1 now#1", "no delay is left for another group");
}

#[test]
fn a_claim_tells_when_to_look_again() {
    let mut machine = Machine::new();
    assert_eq!(machine.claim(at(0), &claim("g")).outcome.next_due, None);
    append(&mut machine, at(0), &["a", "b"]);
    let held = machine.claim(at(0), &claim("g")).outcome;
    assert_eq!(held.next_due, Some(at(100)));
    let settlement = Settlement { receipt: held.deliveries[1].receipt.clone(), action: retry(20) };
    assert_eq!(machine.settle(at(0), &[settlement]).woken, [stream()]);
    assert_eq!(machine.claim(at(0), &claim("g")).outcome.next_due, Some(at(20)));
    let one = machine.claim(at(200), &claim("g").max(1)).outcome;
    assert_eq!((told(&one.deliveries).as_str(), one.next_due), ("a#2", Some(at(20))), "more is due already");
}

#[test]
fn a_record_delivered_too_often_dies_once() {
    let mut machine = Machine::new();
    append_records(&mut machine, at(0), &[Record::new("a").with_header("kind", "test")]);
    let twice = claim("g").max_deliveries(2);
    assert_eq!(told(&take(&mut machine, at(0), &twice)), "a#1");
    assert_eq!(told(&take(&mut machine, at(100), &twice)), "a#2");
    let applied = machine.claim(at(200), &twice);
    assert_eq!((told(&applied.outcome.deliveries).as_str(), applied.outcome.next_due), ("", None));
    assert_eq!(applied.woken, [stream().dead_letters(&group("g"))]);
    assert_eq!(told(&take(&mut machine, at(300), &twice)), "");

    let dead = dead_letters(&mut machine, at(300));
    let headers = [
        ("kind", "test"),
        (dead_letter::REASON, dead_letter::MAX_DELIVERIES),
        (dead_letter::DELIVERIES, "2"),
        (dead_letter::POSITION, "1"),
    ];
    assert_eq!(told(&dead), "a#1");
    assert_eq!(dead[0].headers, headers.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[test]
fn a_rejected_record_dies_once_with_its_reason() {
    let mut machine = Machine::new();
    append(&mut machine, at(0), &["a"]);
    let held = take(&mut machine, at(0), &claim("g"));
    assert_eq!(settle(&mut machine, at(0), &held[0], reject("broken")), Settled::Done);
    assert_eq!(settle(&mut machine, at(0), &held[0], reject("broken")), Settled::Stale);
    let dead = dead_letters(&mut machine, at(0));
    assert_eq!(told(&dead), "a#1");
    assert!(dead[0].headers.contains(&(dead_letter::REASON.to_owned(), "broken".to_owned())));
}

#[test]
fn there_are_no_dead_letters_of_dead_letters() {
    let dead = stream().dead_letters(&group("g"));
    for name in ["g", "undertaker"] {
        let mut machine = Machine::new();
        let own = Claim { stream: dead.clone(), ..claim(name) };
        let _ = machine.append(at(0), &dead, &[Record::new("rejected"), Record::new("exhausted")]);
        let held = take(&mut machine, at(0), &own);
        assert_eq!(settle(&mut machine, at(0), &held[0], reject("still")), Settled::Done);
        assert_eq!(told(&take(&mut machine, at(900), &own.clone().max_deliveries(1))), "");
        let StreamInfo { length, groups, .. } = machine.inspect(&dead);
        assert_eq!((length, groups[0].dead), (2, 0), "the letters stay, for other groups");
        assert_eq!(machine.inspect(&stream().dead_letters(&group(name))).length, if name == "g" { 2 } else { 0 });
    }
}

#[test]
fn a_removed_group_leaves_nothing_and_one_of_its_name_sees_everything() {
    let mut machine = Machine::new();
    assert!(!machine.remove_group(at(0), &stream(), &group("g")).outcome, "there is no stream yet");
    append(&mut machine, at(0), &["a", "b"]);
    let held = take(&mut machine, at(0), &claim("g"));
    settle(&mut machine, at(0), &held[0], reject("broken"));
    assert_eq!(machine.trim(at(0), &stream(), Retention::Unsettled).outcome, 1);
    let removed = machine.remove_group(at(0), &stream(), &group("g"));
    assert_eq!((removed.outcome, removed.woken), (true, vec![stream()]));
    assert_eq!(machine.inspect(&stream().dead_letters(&group("g"))), StreamInfo::default());
    assert_eq!(
        (inspected(&machine), settle(&mut machine, at(0), &held[1], Action::Ack)),
        ("1/2".to_owned(), Settled::Stale)
    );
    assert_eq!(machine.trim(at(0), &stream(), Retention::Unsettled).outcome, 0, "nobody has settled anything");
    assert_eq!(told(&take(&mut machine, at(0), &claim("g"))), "b#1");
    assert!(!machine.remove_group(at(0), &stream(), &group("h")).outcome);
}

/// `length/last` and per group `name:pending/lag/dead`.
fn inspected(machine: &Machine) -> String {
    let StreamInfo { length, last, groups } = machine.inspect(&stream());
    let groups = groups.iter().map(|g| format!(" {}:{}/{}/{}", g.name, g.pending, g.lag, g.dead));
    format!("{length}/{}{}", last.map_or(0, |last| last.0), groups.collect::<String>())
}

#[test]
fn inspecting_counts_what_is_pending_not_looked_at_and_dead() {
    let mut machine = Machine::new();
    assert_eq!(machine.inspect(&stream()), StreamInfo::default());
    take(&mut machine, at(0), &claim("h"));
    assert_eq!(inspected(&machine), "0/0 h:0/0/0");
    append(&mut machine, at(0), &["a", "b"]);
    append_records(&mut machine, at(0), &[Record::new("c").with_delay(millis(50)), Record::new("d")]);
    let held = take(&mut machine, at(0), &claim("g"));
    assert_eq!(inspected(&machine), "4/4 g:4/0/0 h:0/4/0");
    settle(&mut machine, at(0), &held[0], Action::Ack);
    settle(&mut machine, at(0), &held[1], reject("no"));
    take(&mut machine, at(0), &claim("h").max(1));
    assert_eq!(inspected(&machine), "4/4 g:2/0/1 h:1/3/0");
}

#[test]
fn trimming_spares_what_a_group_has_not_settled() {
    let mut machine = Machine::new();
    append(&mut machine, at(0), &["a", "b", "c", "d"]);
    let held = take(&mut machine, at(0), &claim("g").max(3));
    settle(&mut machine, at(0), &held[0], Action::Ack);
    settle(&mut machine, at(0), &held[2], Action::Ack);
    let mut trim = |keep| machine.trim(at(0), &stream(), keep).outcome;
    assert_eq!(trim(Retention::Newest(9)), 0);
    assert_eq!(trim(Retention::Newest(0)), 1, "b is pending, d was not looked at");
    settle(&mut machine, at(0), &held[1], Action::Ack);
    let mut trim = |keep| machine.trim(at(0), &stream(), keep).outcome;
    assert_eq!(trim(Retention::From(Position(3))), 1);
    assert_eq!(trim(Retention::From(Position(99))), 1);
    assert_eq!(inspected(&machine), "1/4 g:0/1/0");
    assert_eq!(told(&take(&mut machine, at(0), &claim("g"))), "d#1");
    assert_eq!(told(&take(&mut machine, at(0), &claim("late"))), "d#1", "a new group sees what is still there");
    assert_eq!(machine.trim(at(0), &StreamName::new("none").expect("valid"), Retention::Newest(0)).outcome, 0);
}

#[test]
fn without_groups_everything_may_go_and_positions_go_on() {
    let mut machine = Machine::new();
    append(&mut machine, at(0), &["a", "b"]);
    assert_eq!(machine.trim(at(0), &stream(), Retention::Newest(0)).outcome, 2);
    assert_eq!(inspected(&machine), "0/2");
    append(&mut machine, at(0), &["c"]);
    assert_eq!(inspected(&machine), "1/3");
}

#[test]
fn clearing_takes_streams_with_groups_dead_letters_and_ids() {
    let mut machine = Machine::new();
    let named = [Record::new("a").with_id("1").expect("valid")];
    append_records(&mut machine, at(0), &named);
    let held = take(&mut machine, at(0), &claim("g"));
    settle(&mut machine, at(0), &held[0], reject("no"));
    append_records(&mut machine, at(0), &[Record::new("b")]);
    let held = take(&mut machine, at(0), &claim("g"));
    drop(machine.clear(at(0), "s"));
    assert_eq!(settle(&mut machine, at(0), &held[0], Action::Ack), Settled::Stale);
    assert_eq!(machine.inspect(&stream()), StreamInfo::default());
    assert_eq!(dead_letters(&mut machine, at(0)), []);
    assert!(!machine.append(at(0), &stream(), &named).outcome[0].duplicate);
    assert_eq!(told(&take(&mut machine, at(0), &claim("g"))), "a#1");
    drop(machine.clear(at(0), "other"));
    assert_eq!(machine.inspect(&stream()).length, 1);
}

#[test]
fn ids_are_forgotten_in_time_though_nobody_appends() {
    let mut machine = Machine::new();
    let named = |n: u32| Record::new("").with_id(format!("{n:0>200}")).expect("valid");
    let records: Vec<_> = (0..100).map(named).collect();
    append_records(&mut machine, at(0), &records);
    let trimmed = machine.trim(at(0), &stream(), Retention::Newest(0));
    assert_eq!(trimmed.outcome, 100);
    let size = |machine: &Machine| machine.snapshot().encode().expect("encodes").len();
    let before = size(&machine);
    let _ = machine.tick(at(120_000));
    assert!(before > 20_000 && size(&machine) < 1_000, "{before} and then {}", size(&machine));
}
