//! Who is measured: each does the same in its own way.

use super::problem::{Problem, Result};
use super::{LOCK_TTL, PAYLOAD, VALUE_TTL};
use linchpin::{Coordinator, DistributedCoordination, LockGuard};
use std::sync::Arc;

/// What is asked of everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Get,
    Set,
    Publish,
    Lock,
}

impl Operation {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Set => "set",
            Self::Publish => "publish",
            Self::Lock => "lock acquire + release",
        }
    }
}

/// Somebody who reads, writes, publishes and locks. A clone uses the same connection.
pub(crate) trait Contender: Clone + Send + Sync + 'static {
    /// What its series is called.
    const NAME: &'static str;

    fn get(&self, key: &str) -> impl Future<Output = Result<()>> + Send;
    fn set(&self, key: &str) -> impl Future<Output = Result<()>> + Send;
    fn publish(&self, channel: &str) -> impl Future<Output = Result<()>> + Send;
    fn acquire_and_release(&self, lock: &str) -> impl Future<Output = Result<()>> + Send;

    /// Does one of them.
    fn call(&self, operation: Operation, name: &str) -> impl Future<Output = Result<()>> + Send {
        async move {
            match operation {
                Operation::Get => self.get(name).await,
                Operation::Set => self.set(name).await,
                Operation::Publish => self.publish(name).await,
                Operation::Lock => self.acquire_and_release(name).await,
            }
        }
    }
}

/// linchpin, as an application holds it: the port with all default layers.
#[derive(Clone)]
pub(crate) struct Port {
    port: Arc<dyn DistributedCoordination>,
    coordinator: Coordinator,
}

impl Port {
    pub(crate) fn of(coordinator: &Coordinator) -> Self {
        Self { port: coordinator.port(), coordinator: coordinator.clone() }
    }
}

impl Contender for Port {
    const NAME: &'static str = "port";

    async fn get(&self, key: &str) -> Result<()> {
        self.port.get(key).await?.map(drop).ok_or_else(|| Problem::new("the key is gone"))
    }

    async fn set(&self, key: &str) -> Result<()> {
        Ok(self.port.set(key, PAYLOAD, Some(VALUE_TTL)).await?)
    }

    async fn publish(&self, channel: &str) -> Result<()> {
        Ok(self.port.publish(channel, PAYLOAD).await?)
    }

    async fn acquire_and_release(&self, lock: &str) -> Result<()> {
        Ok(self.coordinator.lock(lock).ttl(LOCK_TTL).acquire().await?.release().await?)
    }
}

/// Somebody who takes turns with others.
pub(crate) trait Taker: Send + 'static {
    type Held: Send;

    /// Waits for its turn.
    fn take(&mut self) -> impl Future<Output = Result<Self::Held>> + Send;
    /// Ends its turn.
    fn give(&mut self, held: Self::Held) -> impl Future<Output = Result<()>> + Send;
}

/// linchpin's lock.
pub(crate) struct LockTaker {
    pub(crate) coordinator: Coordinator,
    pub(crate) name: String,
}

impl Taker for LockTaker {
    type Held = LockGuard;

    async fn take(&mut self) -> Result<LockGuard> {
        Ok(self.coordinator.lock(&self.name).acquire().await?)
    }

    async fn give(&mut self, held: LockGuard) -> Result<()> {
        Ok(held.release().await?)
    }
}
