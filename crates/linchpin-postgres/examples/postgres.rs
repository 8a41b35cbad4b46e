//! The first program of the crate's front page.

use linchpin_core::DistributedCoordination;
use linchpin_postgres::PostgresCoordination;
use std::sync::Arc;
use std::time::Duration;

#[tokio::main]
async fn main() -> linchpin_core::Result<()> {
    let url = std::env::var("POSTGRES_URL").unwrap_or("postgres://postgres@127.0.0.1:5432".to_owned());
    let postgres = PostgresCoordination::new(&url, "node-1".to_owned(), Some("orders".to_owned())).await?;
    let port = Arc::new(postgres) as Arc<dyn DistributedCoordination>;
    if port.try_acquire_leadership("node-1", Duration::from_secs(10)).await? {
        port.publish("news", b"node-1 leads").await?;
    }
    println!("the leader is {:?}", port.get_leader().await?);
    Ok(())
}
