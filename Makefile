# Each goal sets up what it needs on a fresh Debian machine that has a Rust toolchain.
SHELL := /bin/bash
TARGET := $(or $(CARGO_TARGET_DIR),target)

.PHONY: help dev test build bench figures check setup e2e

help: ## what there is
	@grep -E '^[a-z0-9]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

dev: ## set up, build and run Cardea with a sample API (ARGS="--port 9000" goes to `cardea dev`)
	@scripts/setup.sh build
	@cargo build --workspace --bin cardea
	@exec $(TARGET)/debug/cardea dev $(ARGS)

test: ## set up, then everything that CI runs
	@scripts/ci.sh

build: ## the release binary, target/release/cardea
	@scripts/setup.sh build
	@cargo build --workspace --release --bin cardea
	@wc -c $(TARGET)/release/cardea | awk '{ printf "%s: %.1f MB%s\n", $$2, $$1 / 1e6, $$1 > 40e6 ? ", more than the 40 MB that it is to be" : "" }'

bench: ## side-by-side benchmarks; figures go to bench/RESULTS.md
	@scripts/setup.sh bench
	@cargo build --workspace --release --bin cardea
	@CARDEA_BIN=$(abspath $(TARGET))/release/cardea python3 bench/run.py $(ARGS)

figures: ## size, time until ready and memory at rest of the release binary
	@scripts/setup.sh build
	@cargo build --workspace --release --bin cardea
	@python3 bench/figures.py $(abspath $(TARGET))/release/cardea $(ARGS)

check: ## format, lints and house rules only
	@scripts/setup.sh build
	@cargo fmt --all --check
	@cargo clippy --workspace --all-targets --quiet -- -D warnings
	@cargo test --workspace --quiet --test tidy

e2e: ## the real clients alone (ARGS="login nginx" picks suites by name)
	@scripts/setup.sh test
	@scripts/e2e.sh $(ARGS)

setup: ## install everything that tests and benchmarks need, run nothing
	@scripts/setup.sh all
