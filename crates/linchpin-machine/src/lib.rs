//! A deterministic coordination state machine: no I/O, no clock of its own
