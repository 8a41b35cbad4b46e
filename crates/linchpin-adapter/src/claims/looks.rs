//! The task that looks for all who wait for a group.

use super::{Attendance, Look, Source, Waiter};
use futures::future::{BoxFuture, FutureExt};
use futures::stream::{FuturesUnordered, StreamExt};
use linchpin_core::{Delivery, Result};
use std::collections::VecDeque;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// What a task looks for, for all who wait for a group.
pub(super) struct Looks<S: Source> {
    served: Attendance<S>,
    waiting: VecDeque<Waiter>,
    steps: FuturesUnordered<BoxFuture<'static, Step<S::Listening>>>,
    /// How many look at this moment.
    looking: usize,
    /// How many may: none where it is known that there is nothing.
    allowed: usize,
    /// When the latest look began that found nothing.
    found_nothing: Option<Instant>,
    /// When something may be due though nobody wakes.
    next: Option<Instant>,
    woken: Arc<Notify>,
    /// How often it was woken.
    wakes: u64,
    listening: Listens<S::Listening>,
}

enum Listens<L> {
    No,
    Begins,
    Yes { _held: L },
}

/// What was done.
enum Step<L> {
    Looked(Box<LookResult>),
    Listens(Result<L>),
}

struct LookResult {
    waiter: Waiter,
    began: Instant,
    /// How often who waits had been woken before.
    wakes: u64,
    found: Result<Look>,
}

impl<S: Source> Looks<S> {
    pub(super) fn new(served: Attendance<S>) -> Self {
        Self {
            served,
            waiting: VecDeque::new(),
            steps: FuturesUnordered::new(),
            looking: 0,
            // Nothing is known: everybody looks.
            allowed: usize::MAX,
            found_nothing: None,
            next: None,
            woken: Arc::default(),
            wakes: 0,
            listening: Listens::No,
        }
    }

    pub(super) async fn run(mut self) {
        loop {
            self.waiting.extend(self.served.group.joined.lock().drain(..));
            self.waiting.retain(|waiter| !waiter.reply.is_closed());
            let has_ended = self.served.shared.life.ended().is_some();
            if has_ended {
                self.waiting.clear();
            }
            self.end_waits();
            while self.looking < self.allowed {
                let Some(waiter) = self.waiting.pop_front() else { break };
                self.look(waiter);
            }
            // Nobody needs to listen any more once it has ended.
            let at_rest = if has_ended { self.looking == 0 } else { self.steps.is_empty() };
            if self.waiting.is_empty() && at_rest && self.served.is_over() {
                return;
            }
            let next = self.waiting.iter().map(|waiter| waiter.deadline).chain(self.next).min();
            let due = async {
                match next {
                    Some(next) => sleep_until(next).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                Some(step) = self.steps.next() => self.done(step),
                () = self.served.group.changed.notified() => {}
                () = self.woken.notified() => self.wake(),
                () = due => {
                    if self.next.is_some_and(|next| next <= Instant::now()) {
                        self.wake();
                    }
                }
            }
        }
    }

    /// Answers those whose time is up: that there is nothing if a look since they came says so; who had none looks.
    fn end_waits(&mut self) {
        let now = Instant::now();
        for waiter in std::mem::take(&mut self.waiting) {
            if waiter.deadline > now {
                self.waiting.push_back(waiter);
            } else if self.found_nothing.is_some_and(|began| began >= waiter.joined) {
                let _ = waiter.reply.send(Ok(Vec::new()));
            } else {
                self.look(waiter);
            }
        }
    }

    fn look(&mut self, waiter: Waiter) {
        self.looking += 1;
        let (source, began, wakes) = (self.served.shared.source.clone(), Instant::now(), self.wakes);
        let looked = async move {
            let found = source.look(&waiter.claim).await;
            Step::Looked(Box::new(LookResult { waiter, began, wakes, found }))
        };
        self.steps.push(looked.boxed());
    }

    /// There may be something.
    fn wake(&mut self) {
        self.wakes += 1;
        self.next = None;
        self.allowed = self.allowed.max(1);
    }

    fn done(&mut self, step: Step<S::Listening>) {
        match step {
            Step::Looked(looked) => self.looked(*looked),
            Step::Listens(Ok(held)) => {
                self.listening = Listens::Yes { _held: held };
                // What came before is found only now.
                self.wake();
            }
            Step::Listens(Err(error)) => {
                self.listening = Listens::No;
                self.allowed = usize::MAX;
                if let Some(waiter) = self.waiting.pop_front() {
                    let _ = waiter.reply.send(Err(error));
                }
            }
        }
    }

    fn looked(&mut self, LookResult { waiter, began, wakes, found }: LookResult) {
        self.looking -= 1;
        match found {
            Ok(Look { given, due }) if given.is_empty() => self.found_nothing(waiter, began, wakes, due),
            Ok(Look { given, .. }) => self.found(waiter, given),
            Err(error) => {
                self.allowed = usize::MAX;
                let _ = waiter.reply.send(Err(error));
            }
        }
    }

    /// Where a claim had all that it asked for there may be more: twice as many look next.
    fn found(&mut self, waiter: Waiter, given: Vec<Delivery>) {
        if given.len() >= waiter.claim.max {
            self.allowed = self.allowed.saturating_mul(2);
        }
        self.allowed = self.allowed.max(1);
        self.served.shared.answer(waiter.reply, Ok(given));
    }

    fn found_nothing(&mut self, waiter: Waiter, began: Instant, wakes: u64, due: Option<Duration>) {
        let now = Instant::now();
        self.found_nothing = self.found_nothing.max(Some(began));
        let source = &self.served.shared.source;
        let next = due.into_iter().chain(source.longest_wait()).min().map(|after| now + after);
        self.next = self.next.into_iter().chain(next).min();
        self.allowed = usize::from(wakes != self.wakes);
        if waiter.deadline <= now {
            let _ = waiter.reply.send(Ok(Vec::new()));
            return;
        }
        if self.served.shared.life.ended().is_some() {
            return;
        }
        if matches!(self.listening, Listens::No) {
            self.listening = Listens::Begins;
            let (source, stream, woken) = (source.clone(), waiter.claim.stream.clone(), self.woken.clone());
            self.steps.push(async move { Step::Listens(source.listen(&stream, woken).await) }.boxed());
        }
        self.waiting.push_front(waiter);
    }
}
