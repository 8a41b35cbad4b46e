//! Another process that starts a Redis server as its environment says, tells where, and holds it.

use linchpin_tests::servers::RedisServer;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    match RedisServer::start().await {
        Err(error) => println!("SAID {}", error.replace('\n', " ")),
        Ok(server) => {
            let paused = server.pause().await.err();
            let resumed = server.resume().await.err();
            println!("SAID {} {} {paused:?} {resumed:?}", server.origin(), server.url());
            std::future::pending::<()>().await;
        }
    }
}
