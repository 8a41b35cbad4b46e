//! The Postgres adapter of [linchpin](https://docs.rs/linchpin): Postgres 13 and later, with rustc 1.94 or later.
//!
//! ```no_run
//! use linchpin_core::DistributedCoordination;
//! use linchpin_postgres::PostgresCoordination;
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! #[tokio::main]
//! async fn main() -> linchpin_core::Result<()> {
//!     let url = std::env::var("POSTGRES_URL").unwrap_or("postgres://postgres@127.0.0.1:5432".to_owned());
//!     let postgres = PostgresCoordination::new(&url, "node-1".to_owned(), Some("orders".to_owned())).await?;
//!     let port = Arc::new(postgres) as Arc<dyn DistributedCoordination>;
//!     if port.try_acquire_leadership("node-1", Duration::from_secs(10)).await? {
//!         port.publish("news", b"node-1 leads").await?;
//!     }
//!     println!("the leader is {:?}", port.get_leader().await?);
//!     Ok(())
//! }
//! ```
//!
//! # How it uses Postgres
//! - Everything lies in the schema `linchpin` of the URL's database, all namespaces in the same tables. The first handle
//!   makes the schema, or an administrator does, with [`SCHEMA`] and [`PRIVILEGES`].
//! - A transaction is a call of one SQL function, which holds a row of the namespace's while it decides and writes. Those that
//!   wait at the same time share a call. A namespace is the unit of scaling.
//! - Keys expire by the server's clock, with a high-water mark, so that it is exact and nothing comes back to life.
//!   A revision is the time of the write, or one more than the last.
//! - Every commit notes which keys it changed in a table, and rings a doorbell by `NOTIFY` after it, which says what topics they
//!   have: a lock's queue, a group, a key. A handle that watches one of them reads on from where it was, and each looks once a
//!   second; nothing is believed but the tables. Changes are counted, so one that was not told is noticed within two seconds,
//!   and so are rows that vanish or come back behind linchpin's back.
//! - Channels have secret names, and messages a seal: another role of the database hears nothing and forges nothing.
//! - Messages are `NOTIFY` too, at most once; one of more than about 5,900 bytes is put into a table for a minute. Postgres
//!   does not tell whether anybody listens.
//! - Streams are tables. A claim holds the row of its group, an append that of its stream, and neither waits for commits.
//! - A handle has two connections in the usual case, one that asks and one that listens, and up to 5 where calls wait for
//!   each other; what is idle is closed. Handles of a process that connect alike share those that ask. They belong to nobody
//!   else, so a pool of the application that is used up stalls no lock. A pooler between has to keep a connection for a
//!   session: any other is refused when connecting.
//! - No answer of a standby is taken: each new connection and each read asks whether the server is one.
//! - An application's own transactions may write through SQL functions, `linchpin.put` and others, and check a lock's
//!   fencing token: see [the book](https://github.com/linchpin-rs/linchpin/blob/main/docs/postgres.md).
//!
//! What survives depends on the server's settings: read it in
//! [`Capabilities::durability`](linchpin_core::Capabilities). With the defaults (`fsync`, `full_page_writes` and
//! `synchronous_commit` are on) that is every commit that was acknowledged. A replica that lags and takes over may have
//! missed the last ones; for locks that guard money fail over to synchronous replicas only. Revisions, and so fencing
//! tokens, grow even then, as they follow the clock: keep those of the servers in step.

mod arguments;
mod backend;
mod changes;
mod claims;
mod commit;
mod config;
mod connection;
mod erase;
mod error;
mod feed;
mod forgetting;
mod hub;
mod lane;
mod listening;
mod messages;
mod migrate;
mod names;
mod notices;
mod numbers;
mod patience;
mod reading;
mod records;
mod secret;
mod seen;
mod server;
mod state;
mod streams;

pub use backend::{Postgres, PostgresCoordination};
pub use config::PostgresConfig;
pub use migrate::{PRIVILEGES, SCHEMA};
