//! What a client does in the background, for as long as it is there.

use super::{Client, JITTER};
use crate::log::{Log, LogReader};
use crate::replica::Fault;
use crate::truth;
use bytes::Bytes;
use linchpin_adapter::backoff::Backoff;
use linchpin_adapter::feed::Alarm;
use linchpin_core::{Error, Result};
use linchpin_machine::Command;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, sleep};

/// How many readers a barrier serves at most.
const TOGETHER: usize = 1024;

/// Reads the log, for as long as there is a client.
pub(super) async fn follow<L: Log>(client: Weak<Client<L>>, log: Arc<L>) {
    let mut backoff = Backoff::default();
    loop {
        let broken = read_on(&client, &*log, &mut backoff).await;
        let Some(client) = client.upgrade() else { return };
        match broken {
            Broken::Off(error) => tracing::debug!(%error, "reading the log broke off; reading on"),
            Broken::By(Fault::Unknown(error)) => client.fail(error),
            Broken::By(fault) => {
                tracing::warn!(?fault, "what was read is not what the log says; reading it anew");
                let distrusted = if let Fault::Diverged(author) = fault { Some(author) } else { None };
                match truth::begin(&*log).await {
                    Ok(replica) => client.begin_anew(replica, distrusted),
                    Err(error) if error.is_transient() => {}
                    Err(error) => client.fail(error),
                }
            }
        }
        drop(client);
        backoff.pause().await;
    }
}

/// Why reading ended.
enum Broken {
    /// The log failed.
    Off(Error),
    By(Fault),
}

async fn read_on<L: Log>(client: &Weak<Client<L>>, log: &L, backoff: &mut Backoff) -> Broken {
    let reading = async {
        let read_to = client.upgrade().map(|client| {
            let state = client.state.lock();
            (state.replica.log(), state.replica.next())
        });
        let Some((of, from)) = read_to else { return Ok(()) };
        let bounds = log.bounds().await.map_err(Broken::Off)?;
        if bounds.log != of || !(bounds.first..=bounds.next).contains(&from) {
            return Err(Broken::By(Fault::Gap));
        }
        let mut reader = log.read(from).await.map_err(Broken::Off)?;
        loop {
            let record = reader.next().await.map_err(Broken::Off)?;
            let Some(client) = client.upgrade() else { return Ok(()) };
            client.take(&record).map_err(Broken::By)?;
            backoff.reset();
        }
    };
    match reading.await {
        Ok(()) => Broken::Off(Error::closed("read")),
        Err(broken) => broken,
    }
}

/// Lets those read who want to: one append serves all who came before it.
pub(super) async fn answer_readers<L: Log>(
    client: Weak<Client<L>>,
    mut requests: mpsc::UnboundedReceiver<oneshot::Sender<Result<(), Arc<Error>>>>,
) {
    let mut readers = Vec::new();
    while requests.recv_many(&mut readers, TOGETHER).await > 0 {
        let Some(client) = client.upgrade() else { return };
        readers.retain(|reader| !reader.is_closed());
        if readers.is_empty() {
            continue;
        }
        let reached = client.append_tick().await.map_err(Arc::new);
        for reader in readers.drain(..) {
            // Nobody may wait any more.
            let _ = reader.send(reached.clone());
        }
    }
}

/// Lets time pass as something ends, unless others do.
pub(super) async fn tick<L: Log>(client: Weak<Client<L>>, alarm: Arc<Alarm>) {
    let mut backoff = Backoff::default();
    loop {
        alarm.ring(|| JITTER.mul_f64(fastrand::f64())).await;
        let Some(client) = client.upgrade() else { return };
        match client.next_end() {
            Some(Duration::ZERO) => match client.reach_end("watch").await {
                Ok(()) => backoff.reset(),
                Err(error) => {
                    tracing::debug!(%error, "what has ended could not be told yet");
                    drop(client);
                    backoff.pause().await;
                    alarm.rings_in(Duration::ZERO);
                }
            },
            Some(next) => alarm.rings_in(next),
            None => {}
        }
    }
}

/// Keeps a snapshot now and then, unless others do.
pub(super) async fn keep_snapshots<L: Log>(client: Weak<Client<L>>, log: Arc<L>, is_worth_it: Arc<Notify>) {
    loop {
        is_worth_it.notified().await;
        sleep(JITTER.mul_f64(fastrand::f64())).await;
        let Some(client) = client.upgrade() else { return };
        if let Err(error) = client.keep_snapshot(&*log).await {
            tracing::debug!(%error, "a snapshot could not be kept; trying again as more is written");
        }
    }
}

impl<L: Log> Client<L> {
    /// Returns once a record was read back that does nothing but let time pass. It may be appended again at will.
    async fn append_tick(self: &Arc<Self>) -> Result<()> {
        let (until, tick) = (Instant::now() + self.settings.limit, Bytes::from(Command::Tick.encode()?));
        let mut backoff = Backoff::default();
        loop {
            self.log.is_reached().await.map_err(|error| error.with_operation("get"))?;
            match self.attempt("get", &tick, None, until).await {
                Err(error) if error.is_transient() && Instant::now() < until => backoff.pause().await,
                appended => return appended.map(drop),
            }
        }
    }

    /// How long it is until the next key ends.
    fn next_end(&self) -> Option<Duration> {
        let state = self.state.lock();
        state.replica.machine.next_deadline().map(|deadline| deadline.since(state.now()))
    }

    /// Makes room in a log that is full: what is not needed goes, though it would be good to have.
    pub(super) async fn relieve(&self) {
        let of = self.state.lock().replica.log();
        if let Err(error) = truth::drop_before_last(&*self.log, of, 1).await {
            tracing::debug!(%error, "the log is full, and nothing of it could be dropped");
        }
        self.drop_released().await;
    }

    async fn keep_snapshot(&self, log: &L) -> Result<()> {
        let kept = log.snapshots().await?;
        let image = {
            let mut state = self.state.lock();
            // One that is newer than what was read is of another log.
            let next = state.replica.next();
            let last = kept.into_iter().rfind(|offset| *offset <= next).unwrap_or_default();
            state.unsaved = 0;
            if std::mem::replace(&mut state.last_snapshot, last) < last {
                // Somebody else kept one since.
                return Ok(());
            }
            state.last_snapshot = state.replica.next();
            state.replica.image()
        };
        let (of, next) = (image.log, image.next);
        let bytes = image.encode()?;
        self.state.lock().saved = bytes.len();
        truth::keep(log, of, next, bytes).await?;
        // Who was to do it may be gone.
        self.drop_released().await;
        Ok(())
    }
}
