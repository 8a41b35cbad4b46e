//! GET, SET, PUBLISH and SET NX: no versions, no watchers, no queue. What the contract costs is seen against it.

use super::Server;
use crate::bench::contender::Contender;
use crate::bench::problem::{Problem, Result};
use crate::bench::raw::{PLAIN, unique};
use crate::bench::{LOCK_TTL, PAYLOAD, VALUE_TTL};
use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, ExistenceCheck, Script, SetExpiry, SetOptions};
use std::sync::LazyLock;

static RELEASE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lua/plain_release.lua")));

#[derive(Clone)]
pub(crate) struct Plain {
    server: Server,
    connection: MultiplexedConnection,
}

impl Plain {
    pub(crate) async fn connect(server: &Server) -> Result<Self> {
        Ok(Self { server: server.clone(), connection: server.connection().await? })
    }

    fn name(&self, name: &str) -> String {
        self.server.name(&format!("plain:{name}"))
    }
}

impl Contender for Plain {
    const NAME: &'static str = PLAIN;

    async fn get(&self, key: &str) -> Result<()> {
        let value: Option<Vec<u8>> = self.connection.clone().get(self.name(key)).await?;
        value.map(drop).ok_or_else(|| Problem::new("the key is gone"))
    }

    async fn set(&self, key: &str) -> Result<()> {
        let options = SetOptions::default().with_expiration(SetExpiry::PX(super::same_work::millis(VALUE_TTL)));
        Ok(self.connection.clone().set_options(self.name(key), PAYLOAD, options).await?)
    }

    async fn publish(&self, channel: &str) -> Result<()> {
        self.connection.clone().publish::<_, _, u64>(self.name(channel), PAYLOAD).await?;
        Ok(())
    }

    async fn acquire_and_release(&self, lock: &str) -> Result<()> {
        let (key, who) = (self.name(&format!("lock:{lock}")), unique());
        let mut connection = self.connection.clone();
        let options = SetOptions::default()
            .conditional_set(ExistenceCheck::NX)
            .with_expiration(SetExpiry::PX(super::same_work::millis(LOCK_TTL)));
        let taken: bool = connection.set_options(&key, &who, options).await?;
        let released: u64 = RELEASE.key(key).arg(who).invoke_async(&mut connection).await?;
        if taken && released == 1 { Ok(()) } else { Err(Problem::new("somebody else held the plain lock")) }
    }
}
