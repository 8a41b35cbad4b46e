//! What every subcommand shares: where the backend is, how things are printed, and what is given back at the end.

use crate::exit::Failure;
use crate::output::{self, Colour, Format, Voice};
use crate::waiting;
use clap::builder::styling::Style;
use linchpin::{Coordinator, CoordinatorBuilder};
use rustix::process::Signal;
use serde_json::{Map, Value};
use std::io;
use std::process::ExitCode;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::watch;

const HEADING: &str = "Global options";

/// The options that every subcommand takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The backend: redis://host:6379, rediss://user:password@host (TLS), nats://host:4222, postgres://host/db, memory://
    ///
    /// NATS is nats:// or, with TLS, tls://; several of its servers are separated by commas. Postgres has TLS unless the host is localhost, a loopback address or a Unix socket, or the URL says ?sslmode=disable. Others on the machine can read a command line: a URL with a password is better kept in LINCHPIN_URL. memory://
    /// lives in this one process, so most subcommands want a server.
    #[arg(long, env = "LINCHPIN_URL", hide_env_values = true, value_name = "URL")]
    #[arg(global = true, help_heading = HEADING, value_hint = clap::ValueHint::Url)]
    url: Option<String>,
    /// The namespace to live in, instead of the URL's: nothing reaches out of it
    #[arg(long, value_name = "NAME", global = true, help_heading = HEADING)]
    namespace: Option<String>,
    /// How data is printed; json is one object per line
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t, global = true, help_heading = HEADING)]
    output: Format,
    /// When to colour; auto is on a terminal, unless NO_COLOR is set
    #[arg(long, value_name = "WHEN", value_enum, default_value_t, global = true, help_heading = HEADING)]
    color: Colour,
}

/// What a subcommand is run with.
pub(crate) struct Global {
    options: Options,
    coordinator: OnceLock<Coordinator>,
    signals_taken: AtomicBool,
    /// The last signal that came while they were taken care of.
    signal: watch::Sender<Option<Signal>>,
}

impl Global {
    pub(crate) fn new(mut options: Options) -> Self {
        // An empty LINCHPIN_URL is none.
        options.url = options.url.filter(|url| !url.is_empty());
        Self {
            options,
            coordinator: OnceLock::new(),
            signals_taken: AtomicBool::new(false),
            signal: watch::Sender::new(None),
        }
    }

    /// The URL, if one was given.
    pub(crate) fn url(&self) -> Option<&str> {
        self.options.url.as_deref()
    }

    /// Connects to a backend that other processes see too. The memory of this process is refused, unless it was asked
    /// for by name.
    ///
    /// It is shut down when the subcommand ends, however it ends.
    pub(crate) async fn connect(&self) -> Result<&Coordinator, Failure> {
        self.connect_as(None).await
    }

    /// The same, as a node of this name.
    pub(crate) async fn connect_as(&self, node: Option<&str>) -> Result<&Coordinator, Failure> {
        let Some(url) = self.url() else {
            return Err(Failure::invalid(
                "no URL is given, and memory:// lives in one process, which nobody else sees: give --url redis://localhost:6379, \
                 nats://localhost:4222 or postgres://localhost/database, or set LINCHPIN_URL (--url memory:// takes \
                 memory all the same)",
            ));
        };
        let builder = Coordinator::builder(url);
        self.open(match node {
            Some(node) => builder.node_id(node),
            None => builder,
        })
        .await
    }

    async fn open(&self, builder: CoordinatorBuilder) -> Result<&Coordinator, Failure> {
        let builder = match &self.options.namespace {
            Some(namespace) => builder.namespace(namespace),
            None => builder,
        };
        let coordinator = builder.connect().await?;
        Ok(self.coordinator.get_or_init(|| coordinator))
    }

    /// Whether the backend answers, if there is one.
    pub(crate) async fn answers(&self) -> bool {
        match self.coordinator.get() {
            Some(coordinator) => waiting::answers(coordinator).await,
            None => true,
        }
    }

    /// Gives back what is held.
    pub(crate) async fn close(&self) -> linchpin::Result<()> {
        match self.coordinator.get() {
            Some(coordinator) => coordinator.shutdown().await,
            None => Ok(()),
        }
    }

    /// From now on, until the answer is dropped, the subcommand takes care of signals itself.
    pub(crate) fn take_signals(&self) -> SignalsTaken<'_> {
        self.signals_taken.store(true, Ordering::SeqCst);
        SignalsTaken(&self.signals_taken)
    }

    pub(crate) fn takes_signals(&self) -> bool {
        self.signals_taken.load(Ordering::SeqCst)
    }

    /// Hands a signal on to the subcommand that takes care of signals.
    pub(crate) fn hand_on(&self, signal: Signal) {
        self.signal.send_replace(Some(signal));
    }

    /// The signals that are handed on from now on.
    pub(crate) fn signals(&self) -> HandedOn {
        HandedOn(self.signal.subscribe())
    }

    pub(crate) fn is_json(&self) -> bool {
        self.options.output == Format::Json
    }

    /// Prints one thing: a text of one or more lines, or an object in one line.
    pub(crate) async fn print(
        &self,
        text: impl FnOnce() -> String,
        json: impl FnOnce() -> Map<String, Value>,
    ) -> Result<(), Failure> {
        if self.is_json() {
            self.print_json(json()).await
        } else {
            Ok(output::write((text() + "\n").as_bytes()).await?)
        }
    }

    /// Prints an object, whatever the format.
    pub(crate) async fn print_json(&self, object: Map<String, Value>) -> Result<(), Failure> {
        Ok(output::write(format!("{}\n", Value::Object(object)).as_bytes()).await?)
    }

    /// The style of a table's titles.
    pub(crate) fn title_style(&self) -> Style {
        self.options.color.style(Style::new().bold(), &io::stdout())
    }

    /// For what is not data.
    pub(crate) fn voice(&self) -> Voice {
        Voice(self.options.color)
    }

    /// Says why it failed, and how it ends.
    pub(crate) fn report(&self, failure: &Failure) -> ExitCode {
        if !failure.message.is_empty() {
            self.voice().fail(&failure.message);
        }
        ExitCode::from(failure.code)
    }
}

/// See [`Global::signals`].
pub(crate) struct HandedOn(watch::Receiver<Option<Signal>>);

impl HandedOn {
    /// The next of them.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn next(&mut self) -> Signal {
        loop {
            if self.0.changed().await.is_err() {
                return std::future::pending().await;
            }
            if let Some(signal) = *self.0.borrow_and_update() {
                return signal;
            }
        }
    }
}

/// While it lives, a signal does not end the subcommand.
pub(crate) struct SignalsTaken<'a>(&'a AtomicBool);

impl Drop for SignalsTaken<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}
