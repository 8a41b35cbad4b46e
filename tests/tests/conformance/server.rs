//! What the harnesses of all adapters that have a server do alike.

use futures::future::BoxFuture;
use linchpin_conformance::{ClockStep, FaultServer, Harness, async_trait};
use linchpin_core::{Driver, Namespace};
use linchpin_tests::servers::{Packaged, TestServer};
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

/// What is not the same for each.
#[async_trait]
pub(crate) trait Adapter: Send + Sync + 'static {
    type Software: Packaged;

    /// Opens a handle to the server at this URL.
    async fn connect(&self, url: &str, namespace: &Namespace) -> linchpin_core::Result<Arc<dyn Driver>>;

    /// Where the server at this URL listens.
    fn address(&self, url: &str) -> Option<SocketAddr>;

    /// The URL of a server that is reached at this address.
    fn url_at(&self, address: SocketAddr) -> String;

    /// As [`FaultServer::step_clock`].
    async fn step_clock(&self, _server: &TestServer<Self::Software>, _step: ClockStep) -> Result<bool, String> {
        Ok(false)
    }

    /// As [`FaultServer::lose_everything`].
    async fn lose_everything(&self, server: &TestServer<Self::Software>) -> Result<bool, String>;
}

/// Starts a server of the version that a run is on.
pub(crate) type Start<A> = fn() -> BoxFuture<'static, Result<TestServer<<A as Adapter>::Software>, String>>;

/// The harness of an adapter.
pub(crate) struct Served<A: Adapter> {
    name: &'static str,
    adapter: Arc<A>,
    start: Start<A>,
    faulty: Option<Start<A>>,
    server: OnceLock<TestServer<A::Software>>,
}

impl<A: Adapter> Served<A> {
    /// Without faults, until told how the servers start that fault cases have for themselves.
    pub(crate) fn new(name: &'static str, adapter: A, start: Start<A>) -> Self {
        Self { name, adapter: Arc::new(adapter), start, faulty: None, server: OnceLock::new() }
    }

    pub(crate) fn faulty(mut self, start: Start<A>) -> Self {
        self.faulty = Some(start);
        self
    }

    fn server(&self) -> &TestServer<A::Software> {
        self.server.get().expect("the suite starts the backend before it asks for anything")
    }
}

#[async_trait]
impl<A: Adapter> Harness for Served<A> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn describe(&self) -> String {
        format!("{}, origin: {}", self.name, self.server().origin())
    }

    async fn start(&self) -> Result<(), String> {
        let server = (self.start)().await?;
        self.server.set(server).map_err(|_| "started twice".to_owned())
    }

    async fn connect(&self, namespace: &Namespace) -> linchpin_core::Result<Arc<dyn Driver>> {
        self.adapter.connect(&self.server().url(), namespace).await
    }

    async fn fault_server(&self) -> Result<Option<Arc<dyn FaultServer>>, String> {
        match self.faulty {
            // A server that somebody else runs is not harmed.
            Some(start) if self.server().origin() != "url" => {
                Ok(Some(Arc::new(Faulty { adapter: self.adapter.clone(), server: start().await? })))
            }
            _ => Ok(None),
        }
    }
}

/// A server that one fault case has for itself.
struct Faulty<A: Adapter> {
    adapter: Arc<A>,
    server: TestServer<A::Software>,
}

#[async_trait]
impl<A: Adapter> FaultServer for Faulty<A> {
    fn address(&self) -> Option<SocketAddr> {
        self.adapter.address(&self.server.url())
    }

    async fn connect(
        &self,
        through: Option<SocketAddr>,
        namespace: &Namespace,
    ) -> linchpin_core::Result<Arc<dyn Driver>> {
        let url = through.map_or_else(|| self.server.url(), |proxy| self.adapter.url_at(proxy));
        self.adapter.connect(&url, namespace).await
    }

    async fn pause(&self) -> Result<(), String> {
        self.server.pause().await
    }

    async fn resume(&self) -> Result<(), String> {
        self.server.resume().await
    }

    async fn kill(&self) -> Result<(), String> {
        self.server.kill().await
    }

    async fn restart(&self) -> Result<(), String> {
        self.server.restart().await
    }

    async fn keep_copy(&self) -> Result<bool, String> {
        self.server.keep_copy().await
    }

    async fn restart_with_copy(&self) -> Result<(), String> {
        self.server.restart_with_copy().await
    }

    async fn step_clock(&self, step: ClockStep) -> Result<bool, String> {
        self.adapter.step_clock(&self.server, step).await
    }

    async fn lose_everything(&self) -> Result<bool, String> {
        self.adapter.lose_everything(&self.server).await
    }
}
