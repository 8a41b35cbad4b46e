//! A lock as a token in a list: BLPOP takes it, RPUSH gives it back. The server wakes who has waited longest.
//! Nothing guards against a holder that dies; it is the shortest way to hand something over on Redis.

use super::Server;
use crate::bench::contender::Taker;
use crate::bench::problem::{Problem, Result};
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;

pub(crate) struct TokenQueue {
    server: Server,
    list: String,
}

impl TokenQueue {
    /// A queue with its token.
    pub(crate) async fn new(server: &Server, name: &str) -> Result<Self> {
        let list = server.name(name);
        let _: u64 = server.connection().await?.rpush(&list, "token").await?;
        Ok(Self { server: server.clone(), list })
    }

    /// Who takes turns: with a connection of its own, as BLPOP blocks it.
    pub(crate) async fn taker(&self) -> Result<TokenTaker> {
        Ok(TokenTaker { connection: self.server.blocking().await?, list: self.list.clone() })
    }
}

pub(crate) struct TokenTaker {
    connection: MultiplexedConnection,
    list: String,
}

impl Taker for TokenTaker {
    type Held = ();

    async fn take(&mut self) -> Result<()> {
        let token: Option<(String, String)> = self.connection.blpop(&self.list, 30.0).await?;
        token.map(drop).ok_or_else(|| Problem::new("no token came within 30 seconds"))
    }

    async fn give(&mut self, (): ()) -> Result<()> {
        let _: u64 = self.connection.rpush(&self.list, "token").await?;
        Ok(())
    }
}
