//! The specification's own examples, with their names, order and literals. Changed are only crates, paths and
//! how errors are handled; whatever else had to be says why. What is not about one adapter runs on both.

mod guide;
mod memory_adapter;
mod port_trait;
mod sync;

use futures::StreamExt;
use linchpin::{DistributedCoordination, MemoryCoordination, Message, MessageStream, RedisCoordination};
use linchpin_tests::servers::RedisServer;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OnceCell;
use tokio::time::timeout;

type Failure = Box<dyn Error + Send + Sync>;
type Checked = Result<(), Failure>;

/// Everything here answers at once; nothing waits longer than this.
const SOON: Duration = Duration::from_secs(20);

/// Runs tests in memory and over Redis, each time with a coordination of its own.
macro_rules! on_both {
    ($($test:ident),+) => { $(
        mod $test {
            #[tokio::test]
            async fn memory() -> crate::specification::Checked {
                crate::specification::in_time(super::$test(crate::specification::memory())).await
            }

            #[tokio::test]
            async fn redis() -> crate::specification::Checked {
                crate::specification::in_time(super::$test(crate::specification::redis().await?)).await
            }
        }
    )+ };
}
pub(crate) use on_both;

fn memory() -> Arc<dyn DistributedCoordination> {
    Arc::new(MemoryCoordination::new())
}

async fn redis() -> Result<Arc<dyn DistributedCoordination>, Failure> {
    Ok(Arc::new(RedisCoordination::new(&redis_url().await?, "node-1".to_string(), None).await?))
}

/// A namespace of its own on the one server of all these tests.
async fn redis_url() -> Result<String, String> {
    // Never dropped: its guard ends it with this process.
    static SERVER: OnceCell<RedisServer> = OnceCell::const_new();
    let server = SERVER.get_or_try_init(RedisServer::start).await?;
    Ok(format!("{}?namespace=specification-{:016x}", server.url(), fastrand::u64(..)))
}

async fn in_time(test: impl Future<Output = Checked>) -> Checked {
    timeout(SOON, test).await?
}

/// The specification's `sub.next().await.unwrap().unwrap()`, but not for ever.
async fn next(sub: &mut MessageStream) -> Result<Message, Failure> {
    Ok(timeout(SOON, sub.next()).await?.ok_or("the subscription ended")??)
}
