//! A case is data: what it proves, what it needs, how.

use crate::context::Context;
use crate::contract::Clause;
use crate::failure::Failure;
use crate::need::Need;
use futures::future::BoxFuture;
use serde::Serialize;
use std::fmt;

/// How a case ends.
pub type CaseResult = Result<(), Failure>;

/// What a case does.
pub type CaseBody = fn(Context) -> BoxFuture<'static, CaseResult>;

/// One thing that the contract says, and how to see whether an adapter does it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Case {
    /// Names the case: its area and what happens, `state.put_then_get`.
    pub id: &'static str,
    /// The part of the contract it belongs to.
    pub area: Area,
    /// The sentence of the contract that it proves.
    pub sentence: &'static str,
    /// The clause of the contract that it belongs to.
    pub(crate) clause: &'static Clause,
    /// What broke elsewhere, and does not here.
    pub(crate) regressions: &'static [&'static Clause],
    /// What the backend must declare for the sentence to apply. Where it does not, the case is not
    /// skipped: the refusal is tested instead.
    pub needs: &'static [Need],
    /// What it does.
    pub body: CaseBody,
}

/// A part of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Area {
    /// What a backend says of itself.
    Capabilities,
    /// Versioned keys: reading, writing, scanning, clearing.
    State,
    /// Guards, mutations, atomicity.
    Transactions,
    /// Time to live.
    Ttl,
    /// Watching keys.
    Watch,
    /// Messages: now or never.
    Messages,
    /// Streams: durable and acknowledged.
    Streams,
    /// Names that are hard to store, and namespaces.
    Names,
    /// How things fail.
    Errors,
    /// The port that applications hold.
    Port,
    /// The lock recipe.
    Lock,
    /// The election recipe.
    Election,
    /// The members recipe.
    Members,
    /// What many clients are told at once.
    History,
    /// What holds while a server is paused, killed, restarted or cut off.
    Faults,
}

impl Area {
    /// Every area, in the order of the report.
    pub const ALL: [Self; 15] = [
        Self::Capabilities,
        Self::State,
        Self::Transactions,
        Self::Ttl,
        Self::Watch,
        Self::Messages,
        Self::Streams,
        Self::Names,
        Self::Errors,
        Self::Port,
        Self::Lock,
        Self::Election,
        Self::Members,
        Self::History,
        Self::Faults,
    ];

    /// The area as one lower-case word: what its cases' ids start with.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Capabilities => "capabilities",
            Self::State => "state",
            Self::Transactions => "transactions",
            Self::Ttl => "ttl",
            Self::Watch => "watch",
            Self::Messages => "messages",
            Self::Streams => "streams",
            Self::Names => "names",
            Self::Errors => "errors",
            Self::Port => "port",
            Self::Lock => "lock",
            Self::Election => "election",
            Self::Members => "members",
            Self::History => "history",
            Self::Faults => "faults",
        }
    }
}

impl fmt::Display for Area {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The cases of a module, one line each: the function's name, what it needs, its clause of the contract and what broke
/// elsewhere, the sentence it proves.
macro_rules! cases {
    ($area:ident $prefix:literal; $($body:ident [$($need:ident),*] $clause:ident $(+ $bug:ident)* $sentence:literal;)+) => {
        pub(crate) const CASES: &[$crate::case::Case] = &[$(
            $crate::case::Case {
                id: concat!($prefix, ".", stringify!($body)),
                area: $crate::case::Area::$area,
                sentence: $sentence,
                clause: &$crate::contract::clauses::$clause,
                regressions: &[$(&$crate::contract::clauses::$bug),*],
                needs: &[$($crate::need::Need::$need),*],
                body: |ctx| Box::pin($body(ctx)),
            }
        ),+];
    };
}
pub(crate) use cases;
