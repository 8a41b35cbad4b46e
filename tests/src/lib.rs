//! What crosses crates: the adapters' conformance runs, the swap, faults.
//!
//! [`servers`] starts the servers that those tests run against.

pub mod servers;
mod signal;

pub use signal::signal;

/// The code blocks of the README and the docs are compiled and run.
#[cfg(doctest)]
mod documents {
    #[doc = include_str!("../../README.md")]
    struct Readme;

    #[doc = include_str!("../../docs/conformance.md")]
    struct Conformance;
}
