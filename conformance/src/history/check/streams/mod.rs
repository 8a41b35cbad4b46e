//! Streams: what is appended stands in order, and every group is delivered each record until it is done.

mod deliveries;
mod records;

use super::{Verdict, Violation};
use crate::history::record::{Delivered, Event, Operation, Receipted, Reply, Verdict as Wish};
use deliveries::{Delivery, Group, Settlement, Settling};
use linchpin_core::Settled;
use records::Records;
use std::collections::BTreeMap;

pub(super) fn check(operations: &[Operation]) -> Verdict {
    let mut records = Records::new(operations)?;
    let mut groups: BTreeMap<(&str, &str), Group<'_>> = BTreeMap::new();
    for by in operations {
        match &by.event {
            Event::Claim { stream, group, max, visibility, reply, .. } => {
                let group = groups.entry((stream, group)).or_default();
                match reply {
                    Reply::Answered(delivered) if delivered.len() > *max => {
                        return Err(Violation::new("a claim brought more records than it asked for", [by]));
                    }
                    Reply::Answered(delivered) => {
                        for one in delivered {
                            records.see(stream, one, by)?;
                            group.deliver(one.position, delivery(one, *visibility, by));
                        }
                    }
                    Reply::Unknown(_) => group.lost_claims.push(by.called),
                    Reply::Failed(_) => {}
                }
            }
            Event::Settle { stream, group, settlements, reply } => {
                settle(groups.entry((stream, group)).or_default(), settlements, reply, by)?;
            }
            Event::Drained { stream, group } => groups.entry((stream, group)).or_default().drained.push(by),
            _ => {}
        }
    }
    records.respect_real_time()?;
    groups.into_iter().try_for_each(|((stream, _), group)| group.check(&records.of(stream)))
}

fn delivery<'h>(delivered: &Delivered, visibility: u64, by: &'h Operation) -> Delivery<'h> {
    Delivery { number: delivered.delivery, visibility, by }
}

fn settle<'h>(
    group: &mut Group<'h>,
    settlements: &'h [Receipted],
    reply: &Reply<Vec<Settled>>,
    by: &'h Operation,
) -> Verdict {
    let done: Vec<Settling> = match reply {
        Reply::Answered(settled) if settled.len() != settlements.len() => {
            return Err(Violation::new("settling has a result per settlement", [by]));
        }
        Reply::Answered(settled) => settled.iter().map(|settled| Settling::from(*settled)).collect(),
        Reply::Unknown(_) => vec![Settling::Unknown; settlements.len()],
        Reply::Failed(_) => return Ok(()),
    };
    for (receipted, done) in settlements.iter().zip(done) {
        let retry_after = match receipted.verdict {
            Wish::Ack => None,
            Wish::Retry { after } => Some(after),
        };
        let settlement = Settlement { number: receipted.delivery, retry_after, done, by };
        group.settle(receipted.position, settlement);
    }
    Ok(())
}
