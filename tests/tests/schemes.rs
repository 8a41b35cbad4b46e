//! Adapters of one's own by their URLs.

use linchpin::{
    Capabilities, Error, ErrorKind, Health, Key, MemoryConfig, Namespace, Page, Range, Result, Transaction,
};
use linchpin_adapter::{Backend, Config};
use linchpin_core::life::Life;
use linchpin_core::{Outcome, ScanPage, Snapshot};

/// A backend that takes a scheme which is another's, besides one of its own.
struct Squatter(Capabilities);

#[derive(Clone)]
struct Place(MemoryConfig);

impl Config for Place {
    const SCHEMES: &'static [&'static str] = &["squatter", "memory"];

    fn from_url(url: &str) -> Result<Self> {
        MemoryConfig::from_url(url).map(Self)
    }

    fn with_namespace(self, namespace: Namespace) -> Self {
        Self(self.0.with_namespace(namespace))
    }

    fn namespace(&self) -> &Namespace {
        Config::namespace(&self.0)
    }

    fn address(&self) -> String {
        self.0.address()
    }
}

fn empty<T>(operation: &'static str) -> Result<T> {
    Err(Error::unsupported(operation, "squatter", "anything"))
}

impl Backend for Squatter {
    type Config = Place;

    const NAME: &'static str = "Squatter";

    async fn connect(_: Place, _: &Life) -> Result<Self> {
        Ok(Self(Capabilities::minimum("squatter")))
    }

    async fn erase(_: Place, _: &[Namespace]) -> Result<()> {
        empty("erase")
    }

    fn capabilities(&self) -> &Capabilities {
        &self.0
    }

    async fn get(&self, _: &[Key]) -> Result<Snapshot> {
        empty("get")
    }

    async fn scan(&self, _: &Range, _: &Page) -> Result<ScanPage> {
        empty("scan")
    }

    async fn commit(&self, _: &Transaction) -> Result<Outcome> {
        empty("commit")
    }

    async fn clear(&self, _: &str) -> Result<()> {
        empty("clear")
    }

    async fn health(&self) -> Result<Health> {
        empty("health")
    }
}

#[tokio::test]
async fn a_scheme_that_is_taken_is_given_to_no_other() {
    linchpin::register::<linchpin_memory::Memory>().expect("it has it already");
    let error = linchpin::register::<Squatter>().expect_err("the scheme is taken");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.to_string().contains("memory:// is the scheme of the backend MemoryCoordination already"), "{error}");
    let error = linchpin::connect("squatter://here").await.expect_err("nothing was registered");
    assert!(error.to_string().contains("is the scheme of no backend"), "{error}");
    linchpin::connect("memory://").await.expect("it is what it was");
}
