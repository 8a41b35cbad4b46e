//! The leases that are held, in the order in which something is to be done about them: so what a turn costs grows with what
//! is due, and not with what is held.

use super::lease::Lease;
use linchpin_core::Key;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use tokio::time::Instant;

/// The leases of a coordinator. Whoever changes when something is due of one says so by [`update`](Self::update).
#[derive(Default)]
pub(super) struct Schedule {
    leases: HashMap<u64, Entry>,
    by_key: HashMap<Key, Vec<u64>>,
    /// When something is to be done at the latest: its renewal, or its end.
    by_due: BTreeSet<(Instant, u64)>,
    /// From when on it may be renewed together with others.
    by_early: BTreeSet<(Instant, u64)>,
}

struct Entry {
    lease: Arc<Lease>,
    due: Instant,
    early: Instant,
}

impl Schedule {
    pub(super) fn insert(&mut self, lease: &Arc<Lease>) {
        self.by_key.entry(lease.key.clone()).or_default().push(lease.number);
        let (due, early) = lease.due();
        self.leases.insert(lease.number, Entry { lease: lease.clone(), due, early });
        self.by_due.insert((due, lease.number));
        self.by_early.insert((early, lease.number));
    }

    /// Takes a lease out, if it is there.
    pub(super) fn remove(&mut self, number: u64) -> Option<Arc<Lease>> {
        let Entry { lease, due, early } = self.leases.remove(&number)?;
        self.by_due.remove(&(due, number));
        self.by_early.remove(&(early, number));
        if let Some(numbers) = self.by_key.get_mut(&lease.key) {
            numbers.retain(|other| *other != number);
            if numbers.is_empty() {
                self.by_key.remove(&lease.key);
            }
        }
        Some(lease)
    }

    /// Notes when something is due of a lease now, if it is there.
    pub(super) fn update(&mut self, number: u64) {
        let Some(entry) = self.leases.get_mut(&number) else { return };
        let (due, early) = entry.lease.due();
        if due != entry.due {
            self.by_due.remove(&(entry.due, number));
            self.by_due.insert((due, number));
        }
        if early != entry.early {
            self.by_early.remove(&(entry.early, number));
            self.by_early.insert((early, number));
        }
        (entry.due, entry.early) = (due, early);
    }

    /// Takes out those that are held no longer by now.
    pub(super) fn take_ended(&mut self, now: Instant) -> Vec<Arc<Lease>> {
        let due: Vec<_> = self.by_due.iter().take_while(|(due, _)| *due <= now).map(|(_, number)| *number).collect();
        let has_ended = |number: &u64| self.leases.get(number).is_some_and(|entry| !entry.lease.is_held());
        let ended: Vec<_> = due.into_iter().filter(has_ended).collect();
        ended.into_iter().filter_map(|number| self.remove(number)).collect()
    }

    /// Those to renew now, with those that are due soon: one round trip for all. They are put off until it is known what
    /// became of that.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<Arc<Lease>> {
        if self.by_due.first().is_none_or(|(due, _)| *due > now) {
            return Vec::new();
        }
        let early: Vec<_> =
            self.by_early.iter().take_while(|(early, _)| *early <= now).map(|(_, number)| *number).collect();
        let mut taken = Vec::new();
        for number in early {
            let Some(entry) = self.leases.get(&number) else { continue };
            let lease = entry.lease.clone();
            if lease.put_off(now) {
                taken.push(lease);
            }
            self.update(number);
        }
        taken
    }

    /// When something is to be done next.
    pub(super) fn next(&self) -> Option<Instant> {
        self.by_due.first().map(|(due, _)| *due)
    }

    /// Whether this process holds a key.
    pub(super) fn holds(&self, key: &Key) -> bool {
        let numbers = self.by_key.get(key).into_iter().flatten();
        numbers.filter_map(|number| self.leases.get(number)).any(|entry| entry.lease.is_held())
    }

    pub(super) fn len(&self) -> usize {
        self.leases.len()
    }

    /// Takes all of them.
    pub(super) fn take_all(&mut self) -> Vec<Arc<Lease>> {
        std::mem::take(self).leases.into_values().map(|entry| entry.lease).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::lease::{Kind, Revisions};
    use super::*;
    use linchpin_core::Revision;
    use std::time::Duration;

    fn lease(number: u64, ttl: u64) -> Arc<Lease> {
        let held = Revisions { created: Revision(number), version: Revision(number) };
        let key = Key::new(format!("k{number}")).expect("a name");
        Arc::new(Lease::new(number, Kind::Ticket, key, held, Instant::now(), Duration::from_millis(ttl)))
    }

    fn numbers(leases: &[Arc<Lease>]) -> Vec<u64> {
        let mut numbers: Vec<_> = leases.iter().map(|lease| lease.number).collect();
        numbers.sort_unstable();
        numbers
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_due_takes_along_what_is_due_soon_and_nothing_else() {
        let mut schedule = Schedule::default();
        // Due after 1000, 1050 and 3000 ms; the second may go along from 787 ms on.
        for (number, ttl) in [(1, 3000), (2, 3150), (3, 9000)] {
            schedule.insert(&lease(number, ttl));
        }
        let started = Instant::now();
        assert_eq!(schedule.next(), Some(started + Duration::from_secs(1)));
        tokio::time::advance(Duration::from_millis(990)).await;
        assert!(schedule.take_due(Instant::now()).is_empty(), "nothing has to be renewed yet");
        tokio::time::advance(Duration::from_millis(10)).await;
        assert_eq!(numbers(&schedule.take_due(Instant::now())), [1, 2]);
        assert!(schedule.take_due(Instant::now()).is_empty(), "they are on their way");
        assert_eq!(schedule.next(), Some(started + Duration::from_millis(1750)), "a quarter of its TTL later");
        assert!(schedule.take_ended(Instant::now()).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_on_its_way_is_not_sent_again_with_others() {
        let mut schedule = Schedule::default();
        schedule.insert(&lease(1, 3000));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(numbers(&schedule.take_due(Instant::now())), [1]);
        tokio::time::advance(Duration::from_millis(400)).await;
        schedule.insert(&lease(2, 300));
        // A quarter of the first one's TTL has not passed yet.
        tokio::time::advance(Duration::from_millis(110)).await;
        assert_eq!(numbers(&schedule.take_due(Instant::now())), [2]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_ended_is_taken_out_whenever_that_is() {
        let mut schedule = Schedule::default();
        let (released, late, kept) = (lease(1, 3000), lease(2, 300), lease(3, 30_000));
        for lease in [&released, &late, &kept] {
            schedule.insert(lease);
        }
        released.end(super::super::lease::Status::Released);
        schedule.update(1);
        assert_eq!(numbers(&schedule.take_ended(Instant::now())), [1]);
        tokio::time::advance(Duration::from_millis(260)).await;
        assert_eq!(numbers(&schedule.take_ended(Instant::now())), [2]);
        assert!(schedule.holds(&kept.key) && !schedule.holds(&late.key) && schedule.len() == 1);
        assert_eq!(numbers(&schedule.take_all()), [3]);
        assert!(schedule.next().is_none() && !schedule.holds(&kept.key));
    }
}
