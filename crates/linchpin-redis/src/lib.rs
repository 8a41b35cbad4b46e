//! The Redis and Valkey adapter of linchpin
