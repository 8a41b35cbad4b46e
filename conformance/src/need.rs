//! What a case may need a backend to declare.

use crate::case::CaseBody;
use crate::refusals;
use linchpin_core::{Capabilities, TransactionScope, WatchCompleteness};
use serde::Serialize;

/// A capability that a case needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Need {
    /// Transactions over several keys.
    MultiKey,
    /// Transaction ids.
    TransactionIds,
    /// Guards that no key starts with a text.
    PrefixGuards,
    /// Time to live.
    Ttl,
    /// Watching.
    Watch,
    /// Messages.
    Messages,
    /// Streams.
    Streams,
    /// Record ids: streams that append a record with an id once.
    RecordIds,
    /// Streams with delays and `Retry after`.
    Delays,
    /// Streams with dead letters.
    DeadLetters,
}

impl Need {
    /// Every need.
    pub const ALL: [Self; 10] = [
        Self::MultiKey,
        Self::TransactionIds,
        Self::PrefixGuards,
        Self::Ttl,
        Self::Watch,
        Self::Messages,
        Self::Streams,
        Self::RecordIds,
        Self::Delays,
        Self::DeadLetters,
    ];

    /// Whether the backend declares it.
    pub fn is_declared(self, capabilities: &Capabilities) -> bool {
        let streams = capabilities.streams;
        match self {
            Self::MultiKey => capabilities.transactions == TransactionScope::MultiKey,
            Self::TransactionIds => capabilities.transaction_ids.is_some(),
            Self::PrefixGuards => capabilities.prefix_guards,
            Self::Ttl => capabilities.ttl.is_some(),
            Self::Watch => capabilities.watch != WatchCompleteness::None,
            Self::Messages => capabilities.messages.is_some(),
            Self::Streams => streams.is_some(),
            Self::RecordIds => streams.is_some_and(|streams| streams.dedupe_window.is_some()),
            Self::Delays => streams.is_some_and(|streams| streams.delays),
            Self::DeadLetters => streams.is_some_and(|streams| streams.dead_letters),
        }
    }

    /// What is needed, in words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MultiKey => "transactions over several keys",
            Self::TransactionIds => "transaction ids",
            Self::PrefixGuards => "guards on a prefix",
            Self::Ttl => "TTLs",
            Self::Watch => "watches",
            Self::Messages => "messages",
            Self::Streams => "streams",
            Self::RecordIds => "record ids",
            Self::Delays => "delays",
            Self::DeadLetters => "dead letters",
        }
    }

    /// The body that takes a case's place where this is not declared: it proves that what needs it is
    /// refused with `Unsupported`.
    pub fn refusal(self) -> CaseBody {
        match self {
            Self::MultiKey => |ctx| Box::pin(refusals::multi_key(ctx)),
            Self::TransactionIds => |ctx| Box::pin(refusals::transaction_ids(ctx)),
            Self::PrefixGuards => |ctx| Box::pin(refusals::prefix_guards(ctx)),
            Self::Ttl => |ctx| Box::pin(refusals::ttl(ctx)),
            Self::Watch => |ctx| Box::pin(refusals::watch(ctx)),
            Self::Messages => |ctx| Box::pin(refusals::messages(ctx)),
            Self::Streams => |ctx| Box::pin(refusals::streams(ctx)),
            Self::RecordIds => |ctx| Box::pin(refusals::record_ids(ctx)),
            Self::Delays => |ctx| Box::pin(refusals::delays(ctx)),
            Self::DeadLetters => |ctx| Box::pin(refusals::dead_letters(ctx)),
        }
    }
}
