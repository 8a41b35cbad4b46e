//! Three nodes of a little shop: they elect a leader, take turns at the till under a lock, keep their
//! caches in step, and go on when the leader crashes.
//!
//! `make demo` runs it in memory, as `linchpin demo`. With `LINCHPIN_URL=redis://localhost:6379` it runs over Redis;
//! start it in several terminals at once and all their nodes form one cluster.

use futures::StreamExt;
use linchpin::{Coordinator, ErrorKind, Pattern, Result};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

const NAMES: [&str; 3] = ["ann", "bob", "cleo"];
const TERM: Duration = Duration::from_millis(1500);
const CRASH_AFTER: Duration = Duration::from_millis(2500);
const END_AFTER: Duration = Duration::from_secs(7);

type Cache = Arc<Mutex<HashMap<String, Vec<u8>>>>;

#[tokio::main]
async fn main() -> Result<()> {
    let url = std::env::var("LINCHPIN_URL").unwrap_or_else(|_| "memory://demo".to_owned());
    run(&url).await
}

/// The whole of it, over the backend that `url` names.
pub(crate) async fn run(url: &str) -> Result<()> {
    let started = Instant::now();
    let mut nodes = Vec::new();
    for name in NAMES {
        nodes.push(Node::join(url, name, started).await?);
    }
    let watcher = nodes[0].coordinator.clone();
    println!("{} nodes joined over {}\n", nodes.len(), watcher.driver().capabilities().version);
    let mut running: Vec<(String, JoinHandle<Result<()>>)> =
        nodes.into_iter().map(|node| (node.name.clone(), tokio::spawn(node.run()))).collect();

    tokio::time::sleep(CRASH_AFTER).await;
    if let Some(leader) = watcher.get_leader().await? {
        match running.iter().position(|(name, _)| *name == leader) {
            Some(at) => {
                say(started, &leader, "*** crashes, without a word ***");
                running.remove(at).1.abort();
            }
            None => say(started, &leader, "leads from another terminal"),
        }
    }
    for (_, node) in running {
        node.await.expect("a node does not panic")?;
    }
    let sold = watcher.get("till").await?.unwrap_or_default();
    println!("\nsold in all: {} (every sale was counted once)", String::from_utf8_lossy(&sold));
    Ok(())
}

fn say(started: Instant, who: &str, what: &str) {
    println!("{:4.1}s  {who:<10} {what}", started.elapsed().as_secs_f32());
}

struct Node {
    name: String,
    coordinator: Coordinator,
    cache: Cache,
    leads: bool,
    started: Instant,
}

impl Node {
    async fn join(url: &str, name: &str, started: Instant) -> Result<Self> {
        let name = format!("{name}-{}", std::process::id() % 1000);
        let coordinator = Coordinator::builder(url).namespace("demo").node_id(&name).connect().await?;
        coordinator.register_node(&name, Some(br#"{"role":"shop"}"#)).await?;
        Ok(Self { name, coordinator, cache: Cache::default(), leads: false, started })
    }

    fn say(&self, what: &str) {
        say(self.started, &self.name, what);
    }

    /// Lives until the demo ends, then leaves properly.
    async fn run(mut self) -> Result<()> {
        let listener = self.listen().await?;
        while self.started.elapsed() < END_AFTER {
            self.coordinator.heartbeat(&self.name, TERM).await?;
            if self.campaign().await? {
                self.change_prices().await?;
            } else {
                self.sell().await?;
            }
            tokio::time::sleep(Duration::from_millis(400 + fastrand::u64(..200))).await;
        }
        listener.abort();
        if self.leads {
            self.say("resigns and leaves");
        }
        self.coordinator.release_leadership(&self.name).await.map(drop)
    }

    /// Becomes the leader, or stays it: a leader that asks again extends its own term.
    async fn campaign(&mut self) -> Result<bool> {
        let leads = self.coordinator.try_acquire_leadership(&self.name, TERM).await?;
        if leads && !self.leads {
            let nodes = self.coordinator.list_nodes().await?;
            self.say(&format!("is elected leader of {}", nodes.join(", ")));
        }
        self.leads = leads;
        Ok(leads)
    }

    /// The leader's work: new prices, and a word to every cache.
    async fn change_prices(&self) -> Result<()> {
        let price = fastrand::u32(100..200).to_string();
        for fruit in ["apple", "pear"] {
            self.coordinator.set(&format!("price:{fruit}"), price.as_bytes(), None).await?;
        }
        self.say(&format!("sets all prices to {price} and invalidates price:*"));
        self.coordinator.publish("cache:invalidate", b"price:*").await
    }

    /// Everybody else's work: sell one apple. The till is read and written under a lock, and the write is
    /// refused if the lock was lost in between.
    async fn sell(&self) -> Result<()> {
        let price = self.price("price:apple").await?;
        let guard = match self.coordinator.lock("till").ttl(TERM).wait(Duration::from_secs(2)).acquire().await {
            Err(error) if error.kind() == ErrorKind::Timeout => return Ok(()),
            guard => guard?,
        };
        let sold = self.coordinator.get("till").await?.unwrap_or_default();
        let sold = String::from_utf8_lossy(&sold).parse().unwrap_or(0) + 1;
        guard.put("till", sold.to_string()).await?;
        self.say(&format!("sells apple no. {sold} at {price} under the lock (token {})", guard.token()));
        guard.release().await
    }

    /// The price as this node's cache knows it; fetched if it does not.
    async fn price(&self, key: &str) -> Result<String> {
        let cached = self.cache.lock().expect("no panic").get(key).cloned();
        let value = if let Some(value) = cached {
            value
        } else {
            let value = self.coordinator.get(key).await?.unwrap_or_else(|| b"100".to_vec());
            self.cache.lock().expect("no panic").insert(key.to_owned(), value.clone());
            value
        };
        Ok(String::from_utf8_lossy(&value).into_owned())
    }

    /// Drops from the cache what the leader says has changed, by pattern.
    async fn listen(&self) -> Result<JoinHandle<()>> {
        let mut messages = self.coordinator.subscribe("cache:*").await?;
        let (cache, name, started) = (self.cache.clone(), self.name.clone(), self.started);
        Ok(tokio::spawn(async move {
            while let Some(message) = messages.next().await {
                let pattern = match message {
                    Ok(message) => Pattern::new(String::from_utf8_lossy(&message.payload)),
                    // Something was missed: forget everything rather than keep what may be stale.
                    Err(_) => Pattern::new("*"),
                };
                let Ok(pattern) = pattern else { continue };
                let mut cache = cache.lock().expect("no panic");
                let before = cache.len();
                cache.retain(|key, _| !pattern.matches(key));
                if cache.len() < before {
                    say(started, &name, &format!("drops {} cached price ({pattern})", before - cache.len()));
                }
            }
        }))
    }
}
