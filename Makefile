# Thin on purpose: any chore longer than a line or two lives in crates/xtask.

.DEFAULT_GOAL := help
.PHONY: help fmt lint test storm demo bench docs deny clean

CARGO ?= cargo
ROWS ?= 1000000

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

fmt: ## format the sources
	$(CARGO) fmt --all

lint: ## check the formatting, and let clippy read everything
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

test: needs lint ## everything that CI runs: format, clippy, unit, end-to-end and doc tests
	$(CARGO) test --workspace --locked

.PHONY: needs
needs:
	@.ci/needs

storm: ## a provider that changes while it is read, and a process that dies at every seam (SECONDS=600 SEED=1, or SEED=7 alone)
	$(if $(SECONDS),SYNC_STORM_SECONDS=$(SECONDS)) $(if $(SEED),SYNC_STORM_SEED=$(SEED)) \
		$(CARGO) test --package sync-cli --locked --test it -- --nocapture storm

demo: ## two providers on loopback into Parquet and SQLite, twice; no account, no network
	$(CARGO) xtask demo

bench: ## CPU seconds, peak memory and bytes written of a million rows, of 1 % changed, and of histories (ROWS=1000000)
	$(CARGO) build --release --locked --package sync-cli
	$(CARGO) xtask bench $(ROWS)

docs: ## the reference of every crate, into target/doc
	$(CARGO) doc --workspace --no-deps --locked

deny: ## licences, bans and advisories; needs cargo-deny
	$(CARGO) deny check

clean: ## remove everything that was built
	$(CARGO) clean
	rm -rf .demo
