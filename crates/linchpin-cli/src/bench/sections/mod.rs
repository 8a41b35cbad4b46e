//! One file for each thing that is measured.

pub(crate) mod calls;
pub(crate) mod dispatch;
pub(crate) mod fanout;
pub(crate) mod handover;
pub(crate) mod leases;
pub(crate) mod memory;
pub(crate) mod processes;
pub(crate) mod soak;
pub(crate) mod specification;
pub(crate) mod throughput;
