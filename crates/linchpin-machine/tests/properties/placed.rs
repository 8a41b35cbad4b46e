//! Streams whose contents lie elsewhere are streams like any other, as long as nothing is dropped that they need.

use crate::ops::{self, Script};
use linchpin_core::{Record, StreamName};
use linchpin_machine::{ClaimAnswer, Command, Machine, Placed, Prospect, Reply, Time};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Where the contents lie.
struct Shelf {
    dice: fastrand::Rng,
    next: u64,
    contents: BTreeMap<(StreamName, u64), Record>,
    /// Places that somebody was given and has not used yet.
    unused: Vec<u64>,
}

impl Shelf {
    fn place(&mut self, stream: &StreamName, record: &Record, late: bool) -> Placed {
        self.next += 1;
        let mut place = self.next;
        if late && !self.unused.is_empty() && self.dice.bool() {
            place = self.unused.swap_remove(self.dice.usize(..self.unused.len()));
        } else if self.dice.u8(..3) == 0 {
            self.unused.push(place);
            self.next += 1;
            place = self.next;
        }
        self.contents.insert((stream.living(), place), record.clone());
        let size = u32::try_from(record.payload.len()).expect("small");
        Placed { place, size, id: record.id.clone(), delay: record.delay }
    }

    fn apply(&mut self, machine: &mut Machine, now: Time, command: &Command) -> Reply {
        let Command::Append { stream, records } = command else {
            let prospect = if let Command::Claim(claim) = command { Some(machine.prospect(now, claim)) } else { None };
            let mut reply = machine.apply(now, command).outcome.expect("only commits fail");
            if let Reply::Claimed(claimed) = &mut reply {
                if let Some(Prospect::Nothing(next_due)) = prospect {
                    assert_eq!((claimed.deliveries.len(), claimed.next_due), (0, next_due));
                }
                self.fill(claimed);
            }
            self.drop_released(machine);
            return reply;
        };
        for late in [true, false] {
            let records = records.iter().map(|record| self.place(stream, record, late)).collect();
            let placed = Command::AppendPlaced { stream: stream.clone(), records };
            match machine.apply(now, &placed).outcome.expect("only commits fail") {
                Reply::Released => assert!(late, "what was placed last was not kept"),
                reply => return reply,
            }
        }
        unreachable!("it was kept");
    }

    fn fill(&self, claimed: &mut ClaimAnswer) {
        let places = std::mem::take(&mut claimed.places);
        assert_eq!(places.len(), claimed.deliveries.len());
        for (delivery, place) in claimed.deliveries.iter_mut().zip(places) {
            let found = self.contents.get(&(delivery.receipt.stream.living(), place));
            let record = found.cloned().expect("nothing is dropped that is needed");
            let story = std::mem::replace(&mut delivery.headers, record.headers);
            (delivery.payload, delivery.id) = (record.payload, record.id);
            delivery.headers.retain(|(name, _)| story.iter().all(|(own, _)| own != name));
            delivery.headers.extend(story);
        }
    }

    fn drop_released(&mut self, machine: &Machine) {
        for (stream, before) in machine.released() {
            self.contents.retain(|(name, place), _| name != stream || *place >= before);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn streams_are_the_same_wherever_their_contents_lie(ops in ops::streams(80), seed in any::<u64>()) {
        let (mut here, mut elsewhere, mut script) = (Machine::new(), Machine::new(), Script::default());
        let dice = fastrand::Rng::with_seed(seed);
        let mut shelf = Shelf { dice, next: 0, contents: BTreeMap::new(), unused: Vec::new() };
        let mut last = Time::default();
        for (now, op) in ops {
            let command = script.command(&here, now, op);
            let reply = here.apply(now, &command).outcome.expect("only commits fail");
            script.saw(&reply);
            prop_assert_eq!(&reply, &shelf.apply(&mut elsewhere, now, &command), "{:?} at {}", command, now);
            last = last.max(now);
        }
        let _ = shelf.apply(&mut elsewhere, last, &Command::Clear { prefix: String::new() });
        prop_assert!(shelf.contents.is_empty(), "what was cleared is not released");
    }
}
