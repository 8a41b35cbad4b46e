//! The leases that are held, in the order in which something is to be done about them: so what a turn costs grows with what
//! is due, and not with what is held.

use super::lease::Lease;
use foldhash::fast::RandomState;
use linchpin_core::Key;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The leases of a coordinator. Whoever changes when something is due of one says so by [`update`](Self::update).
#[derive(Default)]
pub(super) struct Schedule {
    leases: HashMap<u64, Entry, RandomState>,
    by_key: HashMap<Key, Vec<u64>>,
    /// When something is to be done at the latest: its renewal, or its end.
    by_due: Times,
    /// From when on it may be renewed together with others.
    by_early: Times,
}

/// A lease and where it is in the two orders: nowhere while a renewal is on its way, which ends in time.
struct Entry {
    lease: Arc<Lease>,
    due: Option<Instant>,
    early: Option<Instant>,
}

/// What is to be done about leases.
#[derive(Default)]
pub(super) struct Due {
    /// Those that are held no longer: they are not in the schedule any more.
    pub(super) ended: Vec<Arc<Lease>>,
    /// Those to renew now, with those that are due soon: one round trip for all.
    pub(super) renewals: Vec<Renewal>,
}

/// A lease to renew, and its TTL, by which it is put together with others.
pub(super) struct Renewal {
    pub(super) lease: Arc<Lease>,
    pub(super) ttl: Duration,
}

impl Schedule {
    pub(super) fn insert(&mut self, lease: &Arc<Lease>) {
        self.by_key.entry(lease.key.clone()).or_default().push(lease.number);
        self.leases.insert(lease.number, Entry { lease: lease.clone(), due: None, early: None });
        self.update(lease.number);
    }

    /// Takes a lease out, if it is there.
    pub(super) fn remove(&mut self, number: u64) -> Option<Arc<Lease>> {
        let Entry { lease, .. } = self.leases.remove(&number)?;
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
        if entry.due.replace(due) != Some(due) {
            self.by_due.add(due, number);
        }
        if entry.early.replace(early) != Some(early) {
            self.by_early.add(early, number);
        }
        self.tidy();
    }

    /// Notes when something is due of all that are on their way: whoever was to say so is gone.
    pub(super) fn place_all(&mut self) {
        let away = self.leases.iter().filter(|(_, entry)| entry.early.is_none()).map(|(number, _)| *number);
        for number in away.collect::<Vec<_>>() {
            self.update(number);
        }
    }

    /// Forgets the places that were left, when there are more of them than leases: so they never grow beyond that.
    fn tidy(&mut self) {
        let enough = 2 * self.leases.len() + 64;
        if self.by_due.count.max(self.by_early.count) <= enough {
            return;
        }
        (self.by_due, self.by_early) = Default::default();
        for (number, Entry { due, early, .. }) in &self.leases {
            if let Some(due) = due {
                self.by_due.add(*due, *number);
            }
            if let Some(early) = early {
                self.by_early.add(*early, *number);
            }
        }
    }

    /// What is to be done by now.
    pub(super) fn take(&mut self, now: Instant) -> Due {
        let (mut due, mut is_any_due) = (Due::default(), false);
        for (at, number) in self.by_due.take_until(now) {
            match self.leases.get(&number) {
                Some(entry) if entry.due != Some(at) => {}
                // With those that may be renewed by now: what is due may be.
                Some(entry) if entry.lease.is_held_at(now) => is_any_due = true,
                _ => due.ended.extend(self.remove(number)),
            }
        }
        if is_any_due {
            due.renewals = self.take_renewals(now);
        }
        due
    }

    /// Those that may be renewed by now. What becomes of that is known in time, so nothing is due of them before, but the
    /// end of one that ends earlier.
    fn take_renewals(&mut self, now: Instant) -> Vec<Renewal> {
        let places = self.by_early.take_until(now);
        let mut taken = Vec::with_capacity(places.len());
        for (early, number) in places {
            let Some(entry) = self.leases.get_mut(&number).filter(|entry| entry.early == Some(early)) else { continue };
            (entry.due, entry.early) = (None, None);
            let Some((known, until, ttl)) = entry.lease.put_off(now) else {
                self.update(number);
                continue;
            };
            if until < known {
                entry.due = Some(until);
                self.by_due.add(until, number);
            }
            taken.push(Renewal { lease: entry.lease.clone(), ttl });
        }
        taken
    }

    /// When something is to be done next.
    pub(super) fn next(&mut self) -> Option<Instant> {
        let leases = &self.leases;
        self.by_due.first(|due, number| leases.get(&number).is_some_and(|entry| entry.due == Some(due)))
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

/// Numbers of leases in the order of their times. One whose time changes is added once more: what is renewed together has
/// one time and is one place here, where to look for each number would cost more than all the rest of a renewal. The place
/// that it left stays until its time comes.
#[derive(Default)]
struct Times {
    places: BTreeMap<Instant, Vec<u64>>,
    /// Of numbers, those included that have left.
    count: usize,
}

impl Times {
    fn add(&mut self, at: Instant, number: u64) {
        self.places.entry(at).or_default().push(number);
        self.count += 1;
    }

    /// Takes out those whose time has come by `now`.
    fn take_until(&mut self, now: Instant) -> Vec<(Instant, u64)> {
        let mut taken = Vec::new();
        while let Some(place) = self.places.first_entry().filter(|place| *place.key() <= now) {
            let (at, numbers) = place.remove_entry();
            self.count -= numbers.len();
            taken.extend(numbers.into_iter().map(|number| (at, number)));
        }
        taken
    }

    /// The first time of one that `stays` there; the places before it are forgotten.
    fn first(&mut self, stays: impl Fn(Instant, u64) -> bool) -> Option<Instant> {
        while let Some(mut place) = self.places.first_entry() {
            let (at, numbers) = (*place.key(), place.get_mut());
            while let Some(last) = numbers.last() {
                if stays(at, *last) {
                    return Some(at);
                }
                numbers.pop();
                self.count -= 1;
            }
            place.remove();
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::lease::{Kind, Revisions};
    use super::*;
    use linchpin_core::Revision;

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

    fn renewals(schedule: &mut Schedule) -> Vec<u64> {
        let Due { ended, renewals } = schedule.take(Instant::now());
        assert!(ended.is_empty());
        numbers(&renewals.into_iter().map(|renewal| renewal.lease).collect::<Vec<_>>())
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
        assert!(renewals(&mut schedule).is_empty(), "nothing has to be renewed yet");
        tokio::time::advance(Duration::from_millis(10)).await;
        assert_eq!(renewals(&mut schedule), [1, 2]);
        assert!(renewals(&mut schedule).is_empty(), "they are on their way");
        assert_eq!(schedule.next(), Some(started + Duration::from_secs(3)), "the third is due");
        // Nobody will say what became of them.
        schedule.place_all();
        assert_eq!(schedule.next(), Some(started + Duration::from_millis(1750)), "a quarter of its TTL later");
        tokio::time::advance(Duration::from_millis(790)).await;
        assert_eq!(renewals(&mut schedule), [1, 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_on_its_way_is_not_sent_again_with_others() {
        let mut schedule = Schedule::default();
        schedule.insert(&lease(1, 3000));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(renewals(&mut schedule), [1]);
        tokio::time::advance(Duration::from_millis(400)).await;
        schedule.insert(&lease(2, 300));
        // A quarter of the first one's TTL has not passed yet.
        tokio::time::advance(Duration::from_millis(110)).await;
        assert_eq!(renewals(&mut schedule), [2]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_ended_is_taken_out_whenever_that_is() {
        let mut schedule = Schedule::default();
        let (released, late, kept) = (lease(1, 3000), lease(2, 300), lease(3, 30_000));
        for lease in [&released, &late, &kept] {
            schedule.insert(lease);
        }
        let started = Instant::now();
        released.end(super::super::lease::Status::Released);
        schedule.update(1);
        assert_eq!(numbers(&schedule.take(started).ended), [1]);
        // It is renewed so late that it may end before it is known what became of that.
        tokio::time::advance(Duration::from_millis(200)).await;
        assert_eq!(renewals(&mut schedule), [2]);
        assert_eq!(schedule.next(), Some(started + Duration::from_millis(250)));
        tokio::time::advance(Duration::from_millis(60)).await;
        assert_eq!(numbers(&schedule.take(Instant::now()).ended), [2]);
        assert!(schedule.holds(&kept.key) && !schedule.holds(&late.key) && schedule.len() == 1);
        assert_eq!(numbers(&schedule.take_all()), [3]);
        assert!(schedule.next().is_none() && !schedule.holds(&kept.key));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_left_is_neither_waited_for_nor_kept() {
        let mut schedule = Schedule::default();
        let kept = lease(0, 30_000);
        schedule.insert(&kept);
        for number in 1..10_000 {
            schedule.insert(&lease(number, 3000));
            schedule.remove(number);
            kept.granted(Instant::now(), Duration::from_secs(30 + number), Instant::max);
            kept.state.lock().was_granted(Instant::now());
            schedule.update(0);
            tokio::time::advance(Duration::from_micros(10)).await;
        }
        assert_eq!(schedule.next(), Some(kept.due().0));
        assert!(schedule.by_due.count <= 66 && schedule.by_early.count <= 66, "they grow with what was done");
    }
}
