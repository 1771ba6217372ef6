# Written for GNU make 3.81 too, which is the one macOS has.

CARGO ?= cargo

# Fails, and cargo is not run, when there is no server to be had.
with_server = server=$$(tools/get-server) && REDIS_SERVER_BIN="$$server"

# A crate of its own, below the same target folder.
peers = --manifest-path benches/peers/Cargo.toml --locked --target-dir $(or $(CARGO_TARGET_DIR),target)/peers

# The tests that step a server's clock are left out where there is nothing to step it by.
with_clock = skip=; if clock=$$(tools/get-faketime); then export LIBFAKETIME="$$clock"; else \
	echo "make: no libfaketime, so the tests in tests/clock.rs are left out"; skip='--skip stepped_'; fi

# The tests that run on what REDIS_TARGET names.
behaviour = $(patsubst tests/%.rs,--test %,$(shell grep -l '^use support::target' tests/*.rs))

.DEFAULT_GOAL := help
.PHONY: behaviour help server servers tour test test-behaviour test-all matrix histories faults storm fuzz bench failover bench-all lint doc ci

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | \
		while IFS='|' read -r name what; do printf '  make %-14s %s\n' "$$name" "$$what"; done

server: ## find a Redis or Valkey server, or get one, and print its path
	@tools/get-server

servers: ## find or get each server of the matrix, and print their paths
	@tools/get-matrix

tour: ## a walk through the crate, on a server of its own or on REDIS_URL
	@if [ -n "$$REDIS_URL" ]; then $(CARGO) run --example tour; \
	else $(with_server) $(CARGO) run --example tour; fi

test: ## all tests and the examples in the documentation
	@$(with_clock); $(with_server) $(CARGO) test -- $$skip

# For tools/matrix.
behaviour:
	@echo $(behaviour)

test-behaviour: ## the tests of behaviour alone, on what REDIS_TARGET names
	@$(with_server) $(CARGO) test $(behaviour)

# A cluster's node serves two seconds after its start, so these mostly wait.
test-all: ## make test, and the tests of behaviour with Sentinel and on a cluster too
	@REDIS_TARGET=standalone $(MAKE) test
	@REDIS_TARGET=sentinel $(MAKE) test-behaviour
	@REDIS_TARGET=cluster RUST_TEST_THREADS=8 $(MAKE) test-behaviour

matrix: ## all tests on each server, alone, with Sentinel and as a cluster: target/matrix.md
	@tools/matrix

histories: ## 100,000 acquisitions of locks, while everything around them breaks
	@$(with_server) HISTORIES=$${HISTORIES:-100000} $(CARGO) test --test histories -- --nocapture

faults: ## what each fault does to each operation: docs/faults.md
	@$(with_server) FAULTS_TABLE=write $(CARGO) test --test fault_table

storm: ## five minutes of 31 operations at full rate, while the server dies every ten seconds
	@$(with_server) STORM=$${STORM:-300} $(CARGO) test --test storm -- --nocapture

fuzz: ## bytes that break a law of the parsers, for FUZZ_SECONDS (600) a target
	@tools/fuzz

bench: ## the ratios that the README states, also to other crates, left in target/ratios.txt as well
	@$(with_server) && export REDIS_SERVER_BIN && \
		$(CARGO) bench --bench ratios && $(CARGO) run --release $(peers)

failover: ## what a failover costs and how long it takes: target/failover.md
	@$(with_server) $(CARGO) bench --bench failover

bench-all: ## every benchmark
	@$(with_server) $(CARGO) bench

# Twice for each set of features: --all-targets pulls in the tests' own features,
# which hides what the library alone lacks.
lint: ## formatting, and clippy for every set of features, warnings refused
	$(CARGO) fmt --check
	$(CARGO) clippy -- -D warnings
	$(CARGO) clippy --no-default-features -- -D warnings
	$(CARGO) clippy --all-targets -- -D warnings
	$(CARGO) clippy --all-targets --no-default-features -- -D warnings
	$(CARGO) clippy --all-targets --all-features -- -D warnings
	$(CARGO) clippy --features metrics -- -D warnings
	$(CARGO) clippy --features spans -- -D warnings
	$(CARGO) fmt --manifest-path benches/peers/Cargo.toml --check
	$(CARGO) clippy $(peers) -- -D warnings

doc: ## the documentation, warnings refused
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --all-features

ci: ## what CI runs
	.ci/run
