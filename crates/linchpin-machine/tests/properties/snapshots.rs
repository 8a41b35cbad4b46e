use crate::ops::{self, Op, Script};
use linchpin_core::{Record, Retention, StreamName, Transaction, TransactionId};
use linchpin_machine::{Command, Machine, Snapshot, Time};
use proptest::prelude::*;

/// Commands on keys and streams in turn.
fn both(length: usize) -> impl Strategy<Value = Vec<(Time, Op)>> {
    (ops::state(length), ops::streams(length)).prop_map(|(state, streams)| {
        let mut state = state.into_iter();
        streams.into_iter().flat_map(|op| [Some(op), state.next()]).flatten().collect()
    })
}

fn encoded(machine: &Machine) -> Vec<u8> {
    machine.snapshot().encode().expect("encodes")
}

fn restored(bytes: &[u8]) -> Machine {
    Machine::restore(Snapshot::decode(bytes).expect("decodes"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Three machines: one applies commands, one reads them from a log, one goes through a snapshot before
    /// each. They answer alike and are alike, byte for byte.
    #[test]
    fn the_same_commands_make_the_same_machine(ops in both(25)) {
        let (mut direct, mut replica, mut script) = (Machine::new(), Machine::new(), Script::default());
        let mut through_snapshots = encoded(&direct);
        for (now, op) in ops {
            let command = script.command(&direct, now, op);
            let logged = command.encode().expect("encodes");
            prop_assert_eq!(&Command::decode(&logged).expect("decodes"), &command);

            let mut restored = restored(&through_snapshots);
            prop_assert_eq!(restored.next_deadline(), direct.next_deadline());
            let applied = direct.apply(now, &command);
            let replied = replica.apply(now, &Command::decode(&logged).expect("decodes"));
            let continued = restored.apply(now, &command);
            prop_assert_eq!((&applied.changes, &applied.woken), (&replied.changes, &replied.woken));
            prop_assert_eq!((&applied.changes, &applied.woken), (&continued.changes, &continued.woken));
            let [outcome, replied, continued] =
                [applied.outcome, replied.outcome, continued.outcome].map(|outcome| outcome.map_err(|e| e.to_string()));
            prop_assert_eq!(&outcome, &replied);
            prop_assert_eq!(&outcome, &continued);
            if let Ok(reply) = &outcome {
                script.saw(reply);
            }
            through_snapshots = encoded(&restored);
            prop_assert_eq!(&through_snapshots, &encoded(&direct));
            prop_assert_eq!(&through_snapshots, &encoded(&replica));
        }
    }

    #[test]
    fn any_bytes_are_values_and_any_text_is_a_name(value: Vec<u8>, name in r"[^\x00]{1,40}", id: u128) {
        let name = name.chars().take(100).collect::<String>();
        let key = linchpin_core::Key::new(&name).expect("valid");
        let put = Transaction::new().put(key, value.clone(), None).with_id(TransactionId(id));
        let stream = StreamName::new(&name).expect("valid");
        let mut machine = Machine::new();
        let record = Record::new(value).with_header(&name, &name);
        for command in [
            Command::Commit(put),
            Command::Append { stream: stream.clone(), records: vec![record] },
            Command::Trim { stream, keep: Retention::Newest(1) },
            Command::Clear { prefix: format!("{name}x") },
        ] {
            let read = Command::decode(&command.encode().expect("encodes")).expect("decodes");
            prop_assert_eq!(&read, &command);
            prop_assert!(machine.apply(Time::from_micros(1), &read).outcome.is_ok());
        }
        let bytes = encoded(&machine);
        prop_assert_eq!(encoded(&restored(&bytes)), bytes);
    }

    #[test]
    fn garbage_is_refused_and_never_panics(garbage: Vec<u8>, cut in 0..200_usize, flip in 0..200_usize) {
        prop_assert!(Command::decode(&garbage).is_err() && Snapshot::decode(&garbage).is_err());
        let mut machine = Machine::new();
        let put = Transaction::new().put(ops::key("a"), "1", Some(std::time::Duration::from_secs(1)));
        machine.commit(Time::from_micros(1), &put).outcome.expect("decided");
        let bytes = encoded(&machine);
        prop_assert!(Snapshot::decode(&bytes[..cut.min(bytes.len() - 1)]).is_err());
        prop_assert!(Command::decode(&bytes).is_err(), "a snapshot is no command");
        // What still reads after a byte was changed must not make the machine panic.
        let mut flipped = bytes;
        let at = flip % flipped.len();
        flipped[at] ^= 1;
        if let Ok(snapshot) = Snapshot::decode(&flipped) {
            drop(Machine::restore(snapshot).tick(Time::MAX));
        }
    }
}
