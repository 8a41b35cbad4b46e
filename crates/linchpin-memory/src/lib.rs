//! The in-memory adapter of linchpin
