//! What linchpin guarantees, by hand: everything that is asked for is a message of a log, acknowledged and read back; messages
//! of which is known whether anybody listens.

use super::Server;
use super::answers::Answers;
use super::followed_log::FollowedLog;
use crate::bench::PAYLOAD;
use crate::bench::contender::Contender;
use crate::bench::problem::Result;
use crate::bench::raw::SAME_WORK;
use std::sync::Arc;

#[derive(Clone)]
pub(crate) struct SameWork {
    server: Server,
    log: Arc<FollowedLog>,
    answers: Arc<Answers>,
}

impl SameWork {
    pub(crate) async fn connect(server: &Server) -> Result<Self> {
        let client = server.connect().await?;
        let answers = Arc::new(Answers::of(client.clone(), server.nobody()).await?);
        Ok(Self { server: server.clone(), log: Arc::new(FollowedLog::new(server, client, "same").await?), answers })
    }
}

impl Contender for SameWork {
    const NAME: &'static str = SAME_WORK;

    /// A read is the newest only if something was read back that came after it.
    async fn get(&self, _: &str) -> Result<()> {
        self.log.append(b"").await
    }

    async fn set(&self, key: &str) -> Result<()> {
        self.log.append(&[key.as_bytes(), PAYLOAD].concat()).await
    }

    async fn publish(&self, channel: &str) -> Result<()> {
        let subject = self.server.subject(&format!("m.same.{channel}"));
        let _is_heard: bool = self.answers.tell(subject, PAYLOAD).await?;
        Ok(())
    }

    async fn acquire_and_release(&self, lock: &str) -> Result<()> {
        self.log.append(lock.as_bytes()).await?;
        self.log.append(lock.as_bytes()).await
    }
}
