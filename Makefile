.DEFAULT_GOAL := help
.PHONY: help setup test lint features fetch-oldest-rust oldest-rust doc contract demo conformance package deny bench

# What `make setup` may have just provided, so looked up when a recipe runs and not before.
# Without our own images the tests take the official ones.
docker_image = $(shell docker image inspect linchpin/$(1):test >/dev/null 2>&1 && echo linchpin/$(1):test)
redis_image = $(or $(LINCHPIN_TEST_REDIS_IMAGE),$(call docker_image,redis))
nats_image = $(or $(LINCHPIN_TEST_NATS_IMAGE),$(call docker_image,nats))
postgres_image = $(or $(LINCHPIN_TEST_POSTGRES_IMAGE),$(call docker_image,postgres))
image_env = $(addprefix LINCHPIN_TEST_REDIS_IMAGE=,$(redis_image)) $(addprefix LINCHPIN_TEST_NATS_IMAGE=,$(nats_image)) \
	$(addprefix LINCHPIN_TEST_POSTGRES_IMAGE=,$(postgres_image))
# In CI a missing engine fails the tests; elsewhere they fall back to local servers.
servers_env = $(if $(filter true,$(CI)),LINCHPIN_TEST_SERVERS=docker)
test_env = env $(image_env) $(servers_env)

# What only servers with files of ours can show; that processes can stand in for containers shows with it.
local_faults = faults.older_data_that_come_back

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what the tests need and is missing (stop our dockerd: scripts/setup --stop)
	@scripts/setup

test: setup ## Everything CI checks: lint, docs, tests, and faults of local servers too
	@$(MAKE) --no-print-directory lint doc
	$(test_env) LOCAL_FAULTS=$(local_faults) scripts/run-tests --workspace --all-features

lint: ## Formatting and clippy, warnings denied
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --all-features -- -D warnings

features: setup ## Every crate alone, with each of its features alone, all of which `make lint` has together (needs cargo-hack); its examples as users run them
	cargo hack clippy --workspace --each-feature --exclude-all-features --exclude linchpin-tests --exclude linchpin-book -- -D warnings
	for crate in linchpin linchpin-redis linchpin-nats linchpin-postgres; do \
		cargo clippy --package $$crate --examples -- -D warnings || exit 1; \
	done

# Postgres' client needs a newer one than all else.
oldest = $(shell sed -n 's/^rust-version = "\(.*\)"/\1/p' $(1))
others = $(addprefix --package linchpin,'' -adapter -core -log -machine -memory -nats -redis -conformance)

fetch-oldest-rust:
	rustup toolchain install --profile minimal $(call oldest,Cargo.toml) $(call oldest,crates/linchpin-postgres/Cargo.toml)

oldest-rust: fetch-oldest-rust ## The library with the oldest Rust that each part is said to need (needs rustup, which fetches it)
	cargo +$(call oldest,Cargo.toml) check --lib $(others) --features linchpin/redis,linchpin/nats
	cargo +$(call oldest,crates/linchpin-postgres/Cargo.toml) check --lib --package linchpin-postgres

doc: ## The book (target/book) and the API documentation (target/doc), warnings denied
	cargo run --quiet -p linchpin-book
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --all-features

contract: ## Make docs/contract.md from the cases, and the table of docs/backends.md from the backends
	cargo run --quiet -p linchpin-tests --example contract > docs/contract.md.new
	mv docs/contract.md.new docs/contract.md
	$(test_env) cargo run --quiet -p linchpin-tests --example backends > docs/backends.md.new
	mv docs/backends.md.new docs/backends.md

# Without a URL its nodes meet in memory: no client of a server is compiled for it.
demo_backends = $(if $(LINCHPIN_URL),memory redis nats postgres,memory)

demo: ## Run the demo
	@cargo run --quiet -p linchpin-cli --no-default-features --features "$(demo_backends)" -- demo

conformance: setup ## The conformance set on every backend, or on one (BACKEND=redis)
	$(test_env) cargo test --workspace --all-features --test conformance -- $(BACKEND)

bench: ## Measure the port against raw clients on servers of its own: target/bench/*.html (ARGS=--quick, BENCH=postgres)
	@scripts/bench $(ARGS)

package: ## Package the library crates, without publishing
	cargo package --workspace --no-verify --allow-dirty --exclude linchpin-tests --exclude linchpin-book

deny: ## Licences, bans and sources of the dependencies (needs cargo-deny)
	cargo deny check licenses bans sources
