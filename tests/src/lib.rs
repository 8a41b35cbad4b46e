//! What crosses crates: the adapters' conformance runs, the swap, faults
