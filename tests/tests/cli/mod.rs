//! The `linchpin` command against a real server: real processes that take turns, are stopped, killed and interrupted.

mod cluster;
mod elections;
mod errors;
mod locks;
mod losses;
mod manual;
mod messages;
mod pipes;
mod program;
mod reports;
mod state;
mod streams;
