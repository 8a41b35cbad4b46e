//! What crosses crates: the adapters' conformance runs, the swap, faults.
//!
//! [`servers`] starts the servers that those tests run against; [`backends`] asks them what they can do.

pub mod backends;
mod cargo;
mod everything;
mod nobody;
mod outside;
pub mod servers;
mod signal;

pub use cargo::{cargo, command, example, from_a_shell};
pub use everything::everything;
pub use nobody::RefusingPort;
pub use outside::{OutsideCrate, repository};
pub use signal::signal;

/// The code blocks of the README and the docs are compiled and run.
#[cfg(doctest)]
mod documents {
    #[doc = include_str!("../../README.md")]
    struct Readme;

    #[doc = include_str!("../../docs/architecture.md")]
    struct Architecture;

    #[doc = include_str!("../../docs/backends.md")]
    struct Backends;

    #[doc = include_str!("../../docs/benchmark.md")]
    struct Benchmark;

    #[doc = include_str!("../../docs/concepts.md")]
    struct Concepts;

    #[doc = include_str!("../../docs/conformance.md")]
    struct Conformance;

    #[doc = include_str!("../../docs/contract.md")]
    struct Contract;

    #[doc = include_str!("../../docs/design.md")]
    struct Design;

    #[doc = include_str!("../../docs/errors.md")]
    struct Errors;

    #[doc = include_str!("../../docs/nats.md")]
    struct Nats;

    #[doc = include_str!("../../docs/operating.md")]
    struct Operating;

    #[doc = include_str!("../../docs/postgres.md")]
    struct Postgres;

    #[doc = include_str!("../../docs/recipes.md")]
    struct Recipes;

    #[doc = include_str!("../../docs/start.md")]
    struct Start;
}
