//! One namespace, shared by its handles: the machine, its clock, and who is told of changes.

use crate::audience::Audience;
use crate::clock::Clock;
use crate::registry::{self, SharedName};
use crate::streams::WakeUps;
use crate::sweeper::Sweeper;
use linchpin_adapter::fanout::Change;
use linchpin_core::Publication;
use linchpin_machine::{Effects, Machine, Time};
use parking_lot::{Mutex, RwLock};
use std::sync::{Arc, Weak};
use tokio::time::Instant;

/// One namespace. Locks are taken in the order machine, audiences, and what an audience locks itself.
pub(crate) struct Space {
    shared: Option<SharedName>,
    pub(crate) clock: Clock,
    machine: Mutex<Machine>,
    audiences: RwLock<Vec<Weak<Audience>>>,
    pub(crate) wake_ups: WakeUps,
    pub(crate) sweeper: Sweeper,
}

impl Space {
    pub(crate) fn new(shared: Option<SharedName>) -> Self {
        Self {
            shared,
            clock: Clock::start(),
            machine: Mutex::default(),
            audiences: RwLock::default(),
            wake_ups: WakeUps::default(),
            sweeper: Sweeper::default(),
        }
    }

    /// Changes the machine and tells everybody who has to know.
    pub(crate) fn apply<T>(self: &Arc<Self>, change: impl FnOnce(&mut Machine, Time) -> Effects<T>) -> T {
        let mut machine = self.machine.lock();
        let Effects { outcome, changes, woken } = change(&mut machine, self.clock.now());
        // Told before the machine is free for others, so that watchers see changes in their order.
        self.tell(&changes);
        if let Some(deadline) = machine.next_deadline() {
            self.sweeper.see_to(self, deadline);
        }
        drop(machine);
        for stream in &woken {
            self.wake_ups.of(stream).notify_waiters();
        }
        outcome
    }

    /// Looks at the machine. What has expired is removed and told first, so that a revision stands for one
    /// state only.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&Machine, Time) -> T) -> T {
        let mut machine = self.machine.lock();
        // Where nothing ever ends the time says nothing.
        let now = if machine.next_deadline().is_some() { self.clock.now() } else { machine.clock() };
        self.expire(&mut machine, now);
        look(&machine, now)
    }

    /// Removes what has expired; returns when the sweeper has to come again.
    pub(crate) fn sweep(&self) -> Option<Instant> {
        let mut machine = self.machine.lock();
        self.expire(&mut machine, self.clock.now());
        let deadline = machine.next_deadline();
        self.sweeper.sleeps_until(deadline);
        deadline.map(|deadline| self.clock.instant(deadline))
    }

    fn expire(&self, machine: &mut Machine, now: Time) {
        if machine.next_deadline().is_some_and(|deadline| deadline <= now) {
            self.tell(&machine.tick(now).changes);
        }
    }

    fn tell(&self, changes: &[Change]) {
        if !changes.is_empty() {
            self.audiences.read().iter().filter_map(Weak::upgrade).for_each(|audience| audience.tell(changes));
        }
    }

    /// Hands a message to every subscriber; returns to how many.
    pub(crate) fn publish(&self, message: &Publication) -> u64 {
        self.audiences.read().iter().filter_map(Weak::upgrade).map(|audience| audience.send(message)).sum()
    }

    /// Lets a handle's audience hear what happens from now on.
    pub(crate) fn join(&self) -> Arc<Audience> {
        let audience = Arc::new(Audience::default());
        let mut audiences = self.audiences.write();
        audiences.retain(|audience| audience.strong_count() > 0);
        audiences.push(Arc::downgrade(&audience));
        audience
    }

    /// Lets an audience hear no more.
    pub(crate) fn leave(&self, leaving: &Arc<Audience>) {
        self.audiences.write().retain(|audience| !std::ptr::eq(audience.as_ptr(), Arc::as_ptr(leaving)));
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        self.sweeper.end();
        if let Some(shared) = &self.shared {
            registry::forget(shared);
        }
    }
}
