//! The connection that listens, and what is asked over it.

use crate::arguments::number;
use crate::connection::Connector;
use crate::error::Failure;
use crate::hub::{Beat, HEARTBEAT, Listener};
use crate::names::Topic;
use crate::secret::Secret;
use sqlx::postgres::{PgListener, PgNotification, PgPoolOptions, PgRow};
use sqlx::{Connection, Row};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// A connection that listens, if there is one within this time.
async fn listen(connector: &Connector, patience: Duration) -> Result<PgListener, sqlx::Error> {
    // It may be quiet for long.
    const STAY: &str = "SELECT set_config('idle_session_timeout', '0', false) \
                        WHERE current_setting('idle_session_timeout', true) IS NOT NULL";
    let pool = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
    let pool = pool.acquire_timeout(patience).connect_lazy_with(connector.options.clone());
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.eager_reconnect(false);
    let settings = format!("{}; {STAY}", connector.settings);
    sqlx::raw_sql(sqlx::AssertSqlSafe(settings)).execute(&mut listener).await?;
    Ok(listener)
}

/// The connection.
pub(crate) struct Server {
    listener: PgListener,
    topics: Vec<Topic>,
    /// The namespace's, once it listens.
    secret: Option<Secret>,
}

impl Server {
    /// Waits where the server has no connection left.
    pub(crate) async fn connect(connector: &Connector) -> Result<Self, Failure> {
        /// Long enough for most servers.
        const SHORT: Duration = Duration::from_millis(250);
        let Connector { address, connect_timeout, response_timeout, .. } = connector;
        let late = || Failure::ConnectingLate(address.clone(), *connect_timeout);
        // Before whoever waits for it gives up.
        let deadline = Instant::now() + response_timeout.mul_f64(0.8);
        let mut patience = SHORT.min(*connect_timeout);
        loop {
            match timeout(*connect_timeout, listen(connector, patience)).await.map_err(|_| late())? {
                Ok(listener) => return Ok(Self { listener, topics: Vec::new(), secret: None }),
                Err(sqlx::Error::PoolTimedOut) if Instant::now() < deadline => {}
                Err(sqlx::Error::PoolTimedOut) => return Err(late()),
                Err(error) => return Err(Failure::Connecting(address.clone(), Arc::new(error))),
            }
            // The client does not say what took it so long, so it is asked for in another way.
            let another = connector.connect_untold_by(deadline).await?;
            // So that there is a place at once.
            let _ = timeout(SHORT, another.close()).await;
            patience = *connect_timeout;
        }
    }

    /// Listens to these topics, and to no others. Returns where the namespace was once it did.
    pub(crate) async fn follow(&mut self, namespace: &str, topics: &[Topic]) -> Result<Beat, Failure> {
        let kinds = |topics: &[Topic], others: &[Topic]| {
            let kinds: Vec<_> =
                topics.iter().filter(|topic| !others.contains(topic)).map(|topic| topic.kind()).collect();
            kinds.join(",")
        };
        let (new, old) = (kinds(topics, &self.topics), kinds(&self.topics, topics));
        if new.is_empty() && old.is_empty() {
            return self.beat(namespace).await;
        }
        // They count once they are committed: what is asked after that misses nothing.
        let statements = format!("SELECT linchpin.listen('{namespace}', '{{{new}}}', '{{{old}}}'); ");
        let beat = self.ask(namespace, &format!("BEGIN; {statements}COMMIT; ")).await?;
        self.topics = topics.to_vec();
        Ok(beat)
    }

    /// Where the namespace is.
    pub(crate) async fn beat(&mut self, namespace: &str) -> Result<Beat, Failure> {
        self.ask(namespace, "").await
    }

    /// Runs statements, and asks in the same round trip where the namespace is. A namespace's name needs no quotes of its
    /// own.
    async fn ask(&mut self, namespace: &str, statements: &str) -> Result<Beat, Failure> {
        let question = format!("{statements}SELECT * FROM linchpin.beat('{namespace}')");
        let asked = sqlx::raw_sql(sqlx::AssertSqlSafe(question)).fetch_all(&mut self.listener);
        let rows = answered(asked).await?;
        let Some(row) = rows.last().filter(|row| row.len() == 5) else {
            // The server lost it, and what we listen to with it: whoever connects anew makes it.
            sqlx::query("SELECT (linchpin.space($1)).id").bind(namespace).execute(&mut self.listener).await?;
            return Err(lost());
        };
        let beat = read(row)?;
        // Where the namespace was made anew we listen to what nobody tells.
        if row.try_get(4)? {
            return Err(Failure::Standby);
        }
        if self.secret.as_ref().is_some_and(|secret| *secret != beat.secret) {
            return Err(lost());
        }
        self.secret.get_or_insert_with(|| beat.secret.clone());
        Ok(beat)
    }

    /// Has somebody read on.
    pub(crate) async fn catch_up(&mut self, listener: &dyn Listener, namespace: &str) -> Result<(), Failure> {
        let limit = HEARTBEAT * 5;
        timeout(limit, listener.catch_up(&mut self.listener, namespace)).await.map_err(|_| Failure::Late(limit))?
    }

    /// What was told while something was asked.
    pub(crate) fn buffered(&mut self) -> Option<(Topic, String)> {
        loop {
            let notification = self.listener.next_buffered()?;
            if let Some(told) = self.read(&notification) {
                return Some(told);
            }
        }
    }

    /// What is told next; nothing if it was not for us.
    pub(crate) async fn next(&mut self) -> Result<Option<(Topic, String)>, Failure> {
        // Without one the client noticed that the connection broke, and would build another in silence.
        let notification = self.listener.try_recv().await?.ok_or_else(lost)?;
        Ok(self.read(&notification))
    }

    /// A message counts if it is sealed: others may have found out what the channel is called.
    fn read(&self, notification: &PgNotification) -> Option<(Topic, String)> {
        let secret = self.secret.as_ref()?;
        let topic = secret.topic(notification.channel())?;
        let text = notification.payload();
        let text = if topic == Topic::Messages { secret.open(text)? } else { text };
        Some((topic, text.to_owned()))
    }
}

fn read(row: &PgRow) -> Result<Beat, sqlx::Error> {
    let word = |index| row.try_get::<i64, _>(index).map(number);
    Ok(Beat {
        secret: Secret::new(row.try_get(0)?),
        changes: word(1)?,
        revision: word(2)?,
        intrusions: row.try_get(3)?,
    })
}

fn lost() -> Failure {
    sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into()).into()
}

/// The answer of a connection that may be dead without anybody having said so.
async fn answered<T>(answer: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, Failure> {
    let limit = HEARTBEAT * 2;
    Ok(timeout(limit, answer).await.map_err(|_| Failure::Late(limit))??)
}
