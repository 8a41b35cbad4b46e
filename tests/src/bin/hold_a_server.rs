//! Another process that starts a server as its environment says, tells where, and holds it:
//! `hold_a_server redis` or `hold_a_server nats`.

use linchpin_tests::servers::{Nats, Redis, Software, TestServer};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), String> {
    match std::env::args().nth(1).as_deref() {
        Some(Redis::NAME) => hold::<Redis>().await,
        Some(Nats::NAME) => hold::<Nats>().await,
        other => return Err(format!("{other:?} is neither redis nor nats")),
    }
    Ok(())
}

async fn hold<S: Software>() {
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
