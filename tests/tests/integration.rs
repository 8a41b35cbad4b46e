//! What crosses crates, on real servers: one program, so that a linker has to work only once. What needs a process of its
//! own is a program of its own beside it.

mod cli;
mod coordinator;
mod documents;
mod examples;
mod features;
mod leases;
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
mod start_page;
mod stranger;
mod swap;
