//! What linchpin guarantees, by hand: versioned entries with deadlines, a change log, writes that may be repeated,
//! a fair lock with a fencing token. Each call is one lean script; see `lua`.

use super::Server;
use crate::bench::contender::Contender;
use crate::bench::problem::{Problem, Result};
use crate::bench::raw::{SAME_WORK, unique};
use crate::bench::{LOCK_TTL, PAYLOAD, VALUE_TTL};
use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, Script};
use std::sync::LazyLock;
use std::time::Duration;

macro_rules! script {
    ($file:literal) => {
        LazyLock::new(|| Script::new(include_str!(concat!("lua/", $file))))
    };
}

static GET: LazyLock<Script> = script!("get.lua");
static SET: LazyLock<Script> = script!("set.lua");
static ACQUIRE: LazyLock<Script> = script!("acquire.lua");
static RELEASE: LazyLock<Script> = script!("release.lua");

/// For how long the adapter remembers a transaction's id.
const ID_WINDOW: Duration = Duration::from_mins(1);

pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[derive(Clone)]
pub(crate) struct SameWork {
    server: Server,
    connection: MultiplexedConnection,
}

impl SameWork {
    pub(crate) async fn connect(server: &Server) -> Result<Self> {
        Ok(Self { server: server.clone(), connection: server.connection().await? })
    }

    fn name(&self, name: &str) -> String {
        self.server.name(&format!("same:{name}"))
    }

    fn revision(&self) -> String {
        self.name("r")
    }
}

impl Contender for SameWork {
    const NAME: &'static str = SAME_WORK;

    async fn get(&self, key: &str) -> Result<()> {
        let mut script = GET.key(self.name(key));
        script.key(self.revision());
        let (_revision, _version, _created, _left, value): (u64, u64, u64, i64, Option<Vec<u8>>) =
            script.invoke_async(&mut self.connection.clone()).await?;
        value.map(drop).ok_or_else(|| Problem::new("the key is gone"))
    }

    async fn set(&self, key: &str) -> Result<()> {
        let mut script = SET.key(self.name(key));
        script.key(self.revision()).key(self.name(&unique()));
        script.arg(PAYLOAD).arg(u64::try_from(VALUE_TTL.as_micros()).unwrap_or(u64::MAX)).arg(millis(ID_WINDOW));
        let (_revision, _created): (u64, u64) = script.invoke_async(&mut self.connection.clone()).await?;
        Ok(())
    }

    async fn publish(&self, channel: &str) -> Result<()> {
        self.connection.clone().publish::<_, _, u64>(self.name(channel), PAYLOAD).await?;
        Ok(())
    }

    async fn acquire_and_release(&self, lock: &str) -> Result<()> {
        let (key, revision, who) = (self.name(&format!("lock:{lock}")), self.revision(), unique());
        let mut connection = self.connection.clone();
        let mut acquire = ACQUIRE.key(&key);
        acquire.key(&revision).arg(&who).arg(millis(LOCK_TTL));
        let token: Option<u64> = acquire.invoke_async(&mut connection).await?;
        let mut release = RELEASE.key(&key);
        release.key(&revision).arg(&who).arg(millis(LOCK_TTL));
        let released: u64 = release.invoke_async(&mut connection).await?;
        if token.is_some() && released == 1 { Ok(()) } else { Err(Problem::new("somebody else held the lock")) }
    }
}
