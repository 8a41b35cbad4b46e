//! What crosses crates, on real servers: one program, so that a linker has to work only once. What needs a process of its
//! own is a program of its own beside it.
//!
//! They run in the order of their names, some of them at a time. Those that compile are named far apart: a compiler is at
//! work while others wait.

mod adapter_page;
mod cli;
mod coordinator;
mod documents;
mod examples;
mod features;
mod first_steps;
mod leases;
mod long_queues;
mod mutants;
mod nats_cluster;
mod nats_connections;
mod paused_clients;
mod postgres_application;
mod postgres_connections;
mod postgres_others;
mod postgres_outbox;
mod redis_connections;
mod redis_streams;
mod schemes;
mod servers;
mod singleton;
mod snippets;
mod specification;
mod swap;
