//! A lane: one round trip at a time, shared by all who ask at the same time.

use crate::connection::{Holder, Pool};
use crate::error::Failure;
use async_trait::async_trait;
use linchpin_core::{Error, Result, Retry};
use parking_lot::Mutex;
use sqlx::postgres::PgConnection;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

/// What travels on a lane.
#[async_trait]
pub(crate) trait Traffic: Send + Sync + 'static {
    type Question: Send + Sync + 'static;
    type Answer: Send + 'static;

    /// The name of the method whose calls these are.
    const OPERATION: &'static str;

    /// Whom a call may have to wait for.
    const BEHIND: Holder = Holder::Nobody;

    /// How many of those that wait go together, counted from the first; at least one.
    fn together(&self, waiting: &VecDeque<PendingQuestion<Self::Question, Self::Answer>>) -> usize;

    /// Whether a question may be asked again where the connection was lost.
    fn may_repeat(&self, question: &Self::Question) -> bool;

    /// Asks all in one round trip. One answer per question, in their order; the first is always answered.
    async fn ask(
        &self,
        connection: &mut PgConnection,
        questions: &[&Self::Question],
    ) -> Result<Vec<Reply<Self::Answer>>, Failure>;
}

/// What became of a question.
pub(crate) enum Reply<A> {
    Answer(Result<A>),
    /// Its answer did not fit with those of the others: it is to be asked again, and nothing was changed.
    Again,
}

/// A question, and who waits for the answer; nobody may.
pub(crate) struct PendingQuestion<Q, A> {
    pub(crate) question: Q,
    reply: Option<oneshot::Sender<Result<A>>>,
    repeated: bool,
    /// What it counts for among the untold.
    weight: usize,
}

impl<Q, A> PendingQuestion<Q, A> {
    fn is_given_up(&self) -> bool {
        self.reply.as_ref().is_some_and(oneshot::Sender::is_closed)
    }

    fn answer(self, answer: Result<A>) {
        if let Some(reply) = self.reply {
            // Nobody may wait any more.
            let _ = reply.send(answer);
        }
    }
}

/// A lane. Its round trips go over the connections of the handle.
pub(crate) struct Lane<T: Traffic> {
    requests: Mutex<Option<Requests<T>>>,
    worker: Mutex<Option<JoinHandle<()>>>,
    /// How many wait whose answer nobody waits for.
    untold: Arc<AtomicUsize>,
}

/// So many of them wait at most; what is more is not told.
const UNTOLD: usize = 4096;

type Requests<T> = mpsc::UnboundedSender<PendingQuestion<<T as Traffic>::Question, <T as Traffic>::Answer>>;

impl<T: Traffic> Lane<T> {
    pub(crate) fn new(pool: Arc<Pool>, traffic: T) -> Self {
        // Bounded by those who wait, as each asks one thing at a time, and by `UNTOLD`.
        let (requests, receiver) = mpsc::unbounded_channel();
        let untold = Arc::default();
        let life = pool.life.clone();
        let worker = life.spawn(serve(pool, traffic, receiver, Arc::clone(&untold)));
        Self { requests: Mutex::new(Some(requests)), worker: Mutex::new(Some(worker)), untold }
    }

    pub(crate) async fn ask(&self, question: T::Question) -> Result<T::Answer> {
        let (reply, answer) = oneshot::channel();
        self.send(PendingQuestion { question, reply: Some(reply), repeated: false, weight: 0 })?;
        // The worker ends before it answers only if the handle is closed meanwhile.
        answer.await.unwrap_or_else(|_| Err(Error::closed(T::OPERATION).for_good()))
    }

    /// Has something asked whose answer nobody waits for, and which is as large as so many small things.
    pub(crate) fn tell(&self, question: T::Question, weight: usize) {
        if self.untold.load(Ordering::Relaxed) < UNTOLD {
            self.untold.fetch_add(weight, Ordering::Relaxed);
            // A lane that is closed tells nobody.
            let _ = self.send(PendingQuestion { question, reply: None, repeated: false, weight });
        }
    }

    fn send(&self, asked: PendingQuestion<T::Question, T::Answer>) -> Result<()> {
        let requests = self.requests.lock();
        let closed = || Error::closed(T::OPERATION);
        requests.as_ref().ok_or_else(closed)?.send(asked).map_err(|_| closed())
    }

    /// Takes nothing more, and ends once what is on its way was answered, or this time is over.
    pub(crate) async fn close(&self, limit: Duration) {
        *self.requests.lock() = None;
        let worker = self.worker.lock().take();
        if let Some(mut worker) = worker
            && timeout(limit, &mut worker).await.is_err()
        {
            worker.abort();
        }
    }
}

/// How many are taken from the queue at once; the rest waits in it.
const TAKEN: usize = 1024;

/// Longer than this nobody waits for a healthy server, however often each caller gave up before.
const SUSPICIOUS: Duration = Duration::from_secs(1);

async fn serve<T: Traffic>(
    pool: Arc<Pool>,
    traffic: T,
    mut requests: mpsc::UnboundedReceiver<PendingQuestion<T::Question, T::Answer>>,
    untold: Arc<AtomicUsize>,
) {
    let mut waiting = VecDeque::new();
    let mut taken = Vec::new();
    loop {
        if waiting.is_empty() && requests.recv_many(&mut taken, TAKEN).await == 0 {
            return;
        }
        while waiting.len() + taken.len() < TAKEN {
            let Ok(asked) = requests.try_recv() else { break };
            taken.push(asked);
        }
        untold.fetch_sub(taken.iter().map(|asked| asked.weight).sum(), Ordering::Relaxed);
        waiting.extend(taken.drain(..));
        waiting.retain(|asked| !asked.is_given_up());
        if waiting.is_empty() {
            continue;
        }
        let count = traffic.together(&waiting).clamp(1, waiting.len());
        let batch: Vec<_> = waiting.drain(..count).collect();
        let again = round_trip(&pool, &traffic, batch).await;
        for asked in again.into_iter().rev() {
            waiting.push_front(asked);
        }
    }
}

/// Asks a batch and hands out the answers. What is left is to be asked again.
async fn round_trip<T: Traffic>(
    pool: &Arc<Pool>,
    traffic: &T,
    batch: Vec<PendingQuestion<T::Question, T::Answer>>,
) -> Vec<PendingQuestion<T::Question, T::Answer>> {
    let questions: Vec<_> = batch.iter().map(|asked| &asked.question).collect();
    let is_asked = AtomicBool::new(false);
    let asking = async {
        // A connection that somebody gave up on half way is not used again.
        let mut taken = pool.take(T::BEHIND).await?;
        is_asked.store(true, Ordering::Relaxed);
        let answers = traffic.ask(&mut taken.connection, &questions).await;
        taken.give_back(answers)
    };
    let limit = pool.response_timeout();
    let answers = tokio::select! {
        biased;
        answers = asking => answers,
        () = sleep(limit) => Err(Failure::Late(limit)),
        () = given_up(&batch) => Err(Failure::Late(SUSPICIOUS)),
    };
    let answers = match answers {
        Err(Failure::Late(limit)) if !is_asked.into_inner() => Err(Failure::Unasked(limit)),
        answers => answers,
    };
    match answers {
        Ok(answers) => hand_out(batch, T::OPERATION, answers),
        Err(failure) => {
            let may_repeat = |asked: &PendingQuestion<_, _>| {
                failure.is_loss() && !asked.repeated && traffic.may_repeat(&asked.question)
            };
            let (mut again, failed): (Vec<_>, Vec<_>) = batch.into_iter().partition(may_repeat);
            for asked in failed {
                let error = failure.told(T::OPERATION);
                // The first attempt may have been applied, whatever became of the second.
                let error = if asked.repeated { error.with_retry(Retry::Unknown) } else { error };
                asked.answer(Err(error));
            }
            for asked in &mut again {
                asked.repeated = true;
            }
            again
        }
    }
}

/// Hands out the answers. What is left is to be asked again.
fn hand_out<Q, A>(
    batch: Vec<PendingQuestion<Q, A>>,
    operation: &'static str,
    answers: Vec<Reply<A>>,
) -> Vec<PendingQuestion<Q, A>> {
    let mut answers = answers.into_iter();
    let mut again = Vec::new();
    for (place, asked) in batch.into_iter().enumerate() {
        match answers.next() {
            Some(Reply::Answer(answer)) => asked.answer(answer),
            Some(Reply::Again) if place > 0 => again.push(asked),
            _ => asked.answer(Err(Error::unreadable(operation, "too few answers"))),
        }
    }
    again
}

/// Returns when everybody who waited for the answers has given up, and a healthy server would have answered.
async fn given_up<Q, A>(batch: &[PendingQuestion<Q, A>]) {
    // Where nobody waited from the beginning, nobody gave up.
    if batch.iter().all(|asked| asked.reply.is_none()) {
        return std::future::pending().await;
    }
    let since = Instant::now();
    loop {
        sleep(SUSPICIOUS / 4).await;
        if since.elapsed() >= SUSPICIOUS && batch.iter().all(|asked| asked.reply.is_none() || asked.is_given_up()) {
            return;
        }
    }
}
