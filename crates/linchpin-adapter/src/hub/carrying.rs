//! Which subscriptions at the server carry what is listened to.

use super::intake::Intake;
use super::listeners::{Listeners, Ticket};
use super::topics::{Topic, outermost};
use super::{Link, Pusher, Request};
use linchpin_core::{Error, Result};
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::oneshot;

/// A connection, and what it is subscribed to.
pub(super) struct Carrier<L> {
    pub(super) link: L,
    intake: Arc<Intake>,
}

impl<L> Drop for Carrier<L> {
    fn drop(&mut self) {
        self.intake.end();
    }
}

impl<L: Link> Carrier<L> {
    pub(super) async fn connect(pusher: &impl Pusher<Link = L>, listeners: &Arc<Mutex<Listeners>>) -> Result<Self> {
        let intake = Arc::new(Intake::new(listeners.clone()));
        let carrying = Self { link: pusher.connect(intake.clone()).await?, intake };
        carrying.link.ping().await?;
        Ok(carrying)
    }

    /// Connects anew, and subscribes to what is listened to.
    pub(super) async fn reconnect(pusher: &impl Pusher<Link = L>, listeners: &Arc<Mutex<Listeners>>) -> Result<Self> {
        let mut carrying = Self::connect(pusher, listeners).await?;
        let needed = listeners.lock().needed();
        carrying.subscribe(outermost(needed)).await?;
        Ok(carrying)
    }

    fn listeners(&self) -> parking_lot::MutexGuard<'_, Listeners> {
        self.intake.listeners.lock()
    }

    /// Carries out requests, all at once: each takes a way to the server and back.
    pub(super) async fn take(&mut self, requests: Vec<Request>) -> Result<()> {
        let (mut asked, mut left) = (Vec::new(), Vec::new());
        for request in requests {
            match request {
                // A caller who gave up no longer listens.
                Request::Listen(ticket, done) if !done.is_closed() => asked.push((ticket, done)),
                Request::Listen(..) => {}
                Request::Left(topic) => left.push(topic),
            }
        }
        if !asked.is_empty() {
            let (tickets, done): (Vec<_>, Vec<_>) = asked.into_iter().unzip();
            self.listen(tickets, done).await?;
        }
        self.settle(left).await
    }

    /// Sees to it that the server sends what belongs to the topics of these, and tells each what became of it.
    async fn listen(&mut self, tickets: Vec<Ticket>, done: Vec<oneshot::Sender<Result<()>>>) -> Result<()> {
        let mut result = self.carry(&tickets).await;
        let mut lost = false;
        let one = tickets.len() == 1;
        for (ticket, done) in tickets.iter().zip(done) {
            // One that is not allowed must not take the others with it.
            let own = match &result {
                Ok(()) => Ok(()),
                Err(error) if !one && !error.is_transient() => self.carry(std::slice::from_ref(ticket)).await,
                Err(error) if !one => Err(again(error)),
                Err(_) => std::mem::replace(&mut result, Ok(())),
            };
            lost |= own.as_ref().is_err_and(Error::is_transient);
            let _ = done.send(own);
        }
        if lost { Err(Error::unreadable("subscribe", "a subscription failed")) } else { Ok(()) }
    }

    /// Makes the server send what belongs to the topics of these.
    async fn carry(&mut self, tickets: &[Ticket]) -> Result<()> {
        let (carried, missing): (Vec<_>, Vec<_>) =
            tickets.iter().partition(|ticket| self.intake.carriers.lock().cover(&ticket.topic));
        if !missing.is_empty() {
            self.listeners().ask(&missing);
            let topics = outermost(missing.iter().map(|ticket| ticket.topic.clone()).collect());
            let subscribed = self.subscribe(topics).await?;
            let replaced = {
                let carriers = self.intake.carriers.lock();
                subscribed.iter().flat_map(|topic| carriers.under(topic)).collect()
            };
            self.unsubscribe(replaced).await?;
        }
        if !carried.is_empty() {
            // What is on its way by now was sent before anybody asked for it.
            self.link.ping().await?;
            self.listeners().go_live(&carried);
        }
        Ok(())
    }

    async fn subscribe(&mut self, topics: Vec<Topic>) -> Result<Vec<Topic>> {
        if topics.is_empty() {
            return Ok(topics);
        }
        let subscribed = self.link.subscribe(topics).await?;
        // The confirmations came in line with the messages before them, and before the answers.
        if subscribed.iter().all(|topic| self.intake.carries(topic)) {
            Ok(subscribed)
        } else {
            Err(Error::unreadable("subscribe", "a subscription was not confirmed"))
        }
    }

    /// Stops what nobody needs after somebody left these topics.
    async fn settle(&mut self, mut left: Vec<Topic>) -> Result<()> {
        left.append(&mut self.wider_in_vain(&left));
        left.sort_unstable();
        left.dedup();
        // What a wider subscription carries is not there under its own name.
        left.retain(|topic| !self.listeners().need(topic) && self.intake.carries(topic));
        let starts: Vec<_> = left.iter().filter(|topic| topic.is_start()).cloned().collect();
        // A channel carries nothing but itself, so only a start is worth a look at everybody.
        if !starts.is_empty() {
            let starts = outermost(starts);
            let mut needed = self.listeners().needed();
            needed.retain(|other| starts.iter().any(|start| start.covers(other)));
            self.subscribe(outermost(needed)).await?;
        }
        self.unsubscribe(left).await
    }

    /// The subscriptions that carried these, wider ones than was asked for, where no start is left that they carry: channels
    /// have their own.
    fn wider_in_vain(&self, left: &[Topic]) -> Vec<Topic> {
        let carriers = self.intake.carriers.lock();
        let mut wider: Vec<_> =
            left.iter().filter(|topic| topic.is_start()).flat_map(|topic| carriers.over(topic)).collect();
        drop(carriers);
        if !wider.is_empty() {
            let needed = self.listeners().needed();
            wider.retain(|start| !needed.iter().any(|topic| topic.is_start() && start.covers(topic)));
        }
        wider
    }

    /// Leaves those of these topics that are there.
    async fn unsubscribe(&mut self, topics: Vec<Topic>) -> Result<()> {
        let there: Vec<_> = topics.into_iter().filter(|topic| self.intake.carriers.lock().remove(topic)).collect();
        if there.is_empty() { Ok(()) } else { self.link.unsubscribe(there).await }
    }
}

/// The error of a request that failed along with others.
fn again(error: &Error) -> Error {
    let problem = "the subscription failed with others that were asked for at the same time";
    Error::new(error.kind(), "subscribe", problem).with_retry(error.retry())
}
