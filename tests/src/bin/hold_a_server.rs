//! Another process that starts a server as its environment says, tells where, and holds it:
//! `hold_a_server redis`, `hold_a_server nats` or `hold_a_server postgres`.

use linchpin_tests::servers::{Nats, Packaged, Postgres, Redis, Software, TestServer};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), String> {
    match std::env::args().nth(1).as_deref() {
        Some(Redis::NAME) => hold::<Redis>().await,
        Some(Nats::NAME) => hold::<Nats>().await,
        Some(Postgres::NAME) => hold::<Postgres>().await,
        other => return Err(format!("{other:?} is none of redis, nats and postgres")),
    }
    Ok(())
}

async fn hold<S: Packaged>() {
    match TestServer::<S>::start().await {
        Err(error) => println!("SAID {}", error.replace('\n', " ")),
        Ok(server) => {
            let paused = server.pause().await.err();
            let resumed = server.resume().await.err();
            println!("SAID {} {} {paused:?} {resumed:?}", server.origin(), server.url());
            std::future::pending::<()>().await;
        }
    }
}
