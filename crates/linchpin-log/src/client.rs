//! A client: it appends commands to the log, and reads there what becomes of them.

mod contents;
mod sending;
mod tasks;

use crate::envelope::Author;
use crate::log::{Log, LogRecord};
use crate::pending::{Decision, Pending};
use crate::replica::{Fault, Replica, Taken, Verdict};
use crate::truth;
use bytes::Bytes;
use linchpin_adapter::fanout::Watchers;
use linchpin_adapter::feed::Alarm;
use linchpin_core::life::Life;
use linchpin_core::{Claim, Error, ErrorKind, Operation, Result, Retry, StreamName};
use linchpin_machine::{Command, Effects, Machine, Prospect, Reply, Time};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

/// By so much those differ at most who append a tick as something ends.
const JITTER: Duration = Duration::from_millis(50);

/// How a client goes about it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// How long a call takes at most.
    pub(crate) limit: Duration,
    /// How many bytes a record may have.
    pub(crate) record: usize,
    /// After how many bytes of records a snapshot is kept, if the last one was smaller than that.
    pub(crate) snapshot_after: usize,
}

pub(crate) struct Client<L> {
    log: Arc<L>,
    life: Life,
    settings: Settings,
    author: Author,
    state: Mutex<State>,
    pub(crate) watchers: Watchers,
    alarm: Arc<Alarm>,
    /// There is something to be appended.
    asked: Arc<Notify>,
    readers: mpsc::UnboundedSender<oneshot::Sender<Result<(), Arc<Error>>>>,
    is_worth_a_snapshot: Arc<Notify>,
    /// Before which places contents of streams were dropped, as far as this client did.
    dropped: Mutex<HashMap<StreamName, u64>>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

struct State {
    replica: Replica,
    /// When the last record was read.
    read_at: Instant,
    pending: Pending,
    waiting: HashMap<StreamName, Vec<Weak<Notify>>>,
    /// Why the log cannot be read on.
    fault: Option<Arc<Error>>,
    /// How many bytes were read since the last snapshot, and how large that was.
    unsaved: usize,
    saved: usize,
    /// The last one that is known.
    last_snapshot: u64,
}

impl State {
    /// The log's time, as far as it can be told without asking.
    fn now(&self) -> Time {
        self.replica.now().after(self.read_at.elapsed())
    }
}

impl<L: Log> Client<L> {
    /// Reads the log from its beginning, and knows all that it has by now when this returns.
    pub(crate) async fn open(log: L, life: &Life, settings: Settings) -> Result<Arc<Self>> {
        let late = |_| Error::timeout("connect", settings.limit).of_read();
        let replica = timeout(settings.limit, truth::begin(&log)).await.map_err(late)??;
        let (readers, requests) = mpsc::unbounded_channel();
        let state = State {
            last_snapshot: replica.next(),
            replica,
            read_at: Instant::now(),
            pending: Pending::default(),
            waiting: HashMap::new(),
            fault: None,
            unsaved: 0,
            saved: 0,
        };
        let client = Arc::new(Self {
            log: Arc::new(log),
            life: life.clone(),
            settings,
            author: Author::random(),
            state: Mutex::new(state),
            watchers: Watchers::default(),
            alarm: Arc::default(),
            asked: Arc::default(),
            readers,
            is_worth_a_snapshot: Arc::default(),
            dropped: Mutex::default(),
            tasks: Mutex::default(),
        });
        let (weak, log) = (Arc::downgrade(&client), client.log.clone());
        *client.tasks.lock() = vec![
            life.spawn(tasks::follow(weak.clone(), log.clone())),
            life.spawn(sending::send_all(weak.clone(), log.clone(), client.asked.clone())),
            life.spawn(tasks::answer_readers(weak.clone(), requests)),
            life.spawn(tasks::tick(weak.clone(), client.alarm.clone())),
            life.spawn(tasks::keep_snapshots(weak, log, client.is_worth_a_snapshot.clone())),
        ];
        client.reach_end("connect").await?;
        Ok(client)
    }

    /// Has a command applied: what it comes to.
    pub(crate) async fn call(self: &Arc<Self>, operation: Operation, command: &Command) -> Result<Reply> {
        let name = operation.as_str();
        let (until, command) = (Instant::now() + self.settings.limit, Bytes::from(command.encode()?));
        loop {
            let not_after = Some(self.state.lock().now().after(self.settings.limit));
            match self.attempt(name, &command, not_after, until).await? {
                Decision::Applied(outcome) => return outcome.map_err(|error| error.with_operation(name)),
                // The log's clock was elsewhere than it seemed, or away for long.
                Decision::NotApplied if Instant::now() < until => {}
                Decision::NotApplied => {
                    let problem = "the log took it too late, so it was not applied";
                    return Err(Error::new(ErrorKind::Unavailable, name, problem).with_retry(Retry::Safe));
                }
            }
        }
    }

    /// Looks at what all records come to that the log has by now.
    pub(crate) async fn read<T>(&self, name: &'static str, look: impl FnOnce(&Machine, Time) -> T) -> Result<T> {
        self.reach_end(name).await?;
        let state = self.state.lock();
        Ok(look(&state.replica.machine, state.replica.now()))
    }

    /// Whether a claim is worth making: what is known may say that it is; that it is not, only all that the log has by now.
    pub(crate) async fn prospect(&self, claim: &Claim) -> Result<Prospect> {
        let known = {
            let state = self.state.lock();
            state.replica.machine.prospect(state.now(), claim)
        };
        if known == Prospect::Something {
            return Ok(known);
        }
        self.read("claim", |machine, now| machine.prospect(now, claim)).await
    }

    /// Returns once all is known that the log has by now: those who ask meanwhile are answered together.
    pub(crate) async fn reach_end(&self, name: &'static str) -> Result<()> {
        let (reply, reached) = oneshot::channel();
        // Bounded by those who wait.
        self.readers.send(reply).map_err(|_| self.life.unanswered(name))?;
        let reached = reached.await.map_err(|_| self.life.unanswered(name))?;
        reached.map_err(|error| Error::shared(&error, name).of_read())
    }

    /// Asks the log how it is: what is wrong with it, although it works.
    pub(crate) async fn health(&self) -> Result<Vec<String>> {
        self.reach_end("health").await?;
        self.again("health", || self.log.degraded()).await
    }

    /// When it will be, or was, this time of the log's.
    pub(crate) fn until(&self, time: Time) -> Duration {
        time.since(self.state.lock().now())
    }

    /// Has `woken` notified when a claim of the stream is worth another look.
    pub(crate) fn wakes(&self, stream: &StreamName, woken: &Arc<Notify>) {
        let mut state = self.state.lock();
        let waiting = state.waiting.entry(stream.clone()).or_default();
        waiting.retain(|waiting| waiting.strong_count() > 0);
        waiting.push(Arc::downgrade(woken));
    }

    async fn attempt(
        self: &Arc<Self>,
        name: &'static str,
        command: &Bytes,
        not_after: Option<Time>,
        until: Instant,
    ) -> Result<Decision> {
        let (decided, decision) = oneshot::channel();
        let sequence = {
            let mut state = self.state.lock();
            if let Some(fault) = &state.fault {
                return Err(Error::shared(fault, name));
            }
            state.pending.add(not_after, command.clone(), decided)
        };
        let waiting = WaitingCaller { client: self, sequence };
        self.asked.notify_one();
        let Ok(decision) = timeout_at(until, decision).await else {
            let error = Error::timeout(name, self.settings.limit);
            return Err(if waiting.give_up() { error } else { error.of_read() });
        };
        decision.unwrap_or_else(|_| Err(self.life.unanswered(name))).map_err(|error| error.with_operation(name))
    }

    /// Applies a record, and tells everybody who has to know.
    fn take(&self, record: &LogRecord) -> Result<(), Fault> {
        let mut state = self.state.lock();
        let taken = state.replica.take(record)?;
        state.read_at = Instant::now();
        state.fault = None;
        for Taken { author, sequence, verdict } in taken {
            let decision = self.tell(&mut state, verdict);
            if let Some(decision) = decision.filter(|_| author == self.author) {
                state.pending.decide(sequence, Ok(decision));
            }
        }
        let now = state.replica.now();
        state.pending.pass(now);
        self.alarm.rings_next_in(state.replica.machine.next_deadline().map(|deadline| deadline.since(now)));
        state.unsaved += record.body.len();
        if state.unsaved >= state.saved.max(self.settings.snapshot_after) {
            self.is_worth_a_snapshot.notify_one();
        }
        Ok(())
    }

    /// Tells all that what a command came to, and its author what became of it.
    fn tell(&self, state: &mut State, verdict: Verdict) -> Option<Decision> {
        match verdict {
            Verdict::Applied(Effects { outcome, changes, woken }) => {
                // Told before anybody looks again, so that watchers see changes in their order.
                for change in &changes {
                    self.watchers.dispatch(change);
                }
                for stream in &woken {
                    state.wake(stream);
                }
                Some(Decision::Applied(outcome))
            }
            Verdict::Late => Some(Decision::NotApplied),
            Verdict::Nothing => None,
        }
    }

    /// Begins anew with what the log says. What is on its way is appended once more: it counts once.
    fn begin_anew(self: &Arc<Self>, mut replica: Replica, distrusted: Option<Author>) {
        let mut state = self.state.lock();
        for author in state.replica.distrusted().chain(distrusted) {
            replica.distrust(author);
        }
        state.pending.begin_anew(|sequence| replica.came_to(self.author, sequence));
        state.replica = replica;
        state.read_at = Instant::now();
        state.fault = None;
        state.wake_all();
        drop(state);
        self.asked.notify_one();
        self.watchers.mark_gap();
        self.alarm.rings_in(Duration::ZERO);
    }

    /// The log cannot be read on: nobody waits in vain.
    fn fail(&self, error: Error) {
        let error = Arc::new(error);
        let mut state = self.state.lock();
        state.pending.fail(|| Error::shared(&error, "commit"));
        state.fault = Some(error);
    }
}

impl State {
    fn wake(&mut self, stream: &StreamName) {
        if let Some(waiting) = self.waiting.get_mut(stream) {
            waiting.retain(|waiting| waiting.upgrade().inspect(|waiting| waiting.notify_one()).is_some());
            if waiting.is_empty() {
                self.waiting.remove(stream);
            }
        }
    }

    fn wake_all(&self) {
        for waiting in self.waiting.values().flatten().filter_map(Weak::upgrade) {
            waiting.notify_one();
        }
    }
}

impl<L> Drop for Client<L> {
    fn drop(&mut self) {
        for task in self.tasks.get_mut() {
            task.abort();
        }
    }
}

/// Somebody who waits for a command, until it is dropped.
struct WaitingCaller<'a, L> {
    client: &'a Client<L>,
    sequence: u64,
}

impl<L> WaitingCaller<'_, L> {
    /// Whether the command may have been applied, or may be still.
    fn give_up(&self) -> bool {
        self.client.state.lock().pending.give_up(self.sequence)
    }
}

impl<L> Drop for WaitingCaller<'_, L> {
    fn drop(&mut self) {
        self.give_up();
    }
}
