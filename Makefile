# The three things that people do: run it, test it, measure it. Everything needed is installed first.
.PHONY: run test bench torture check setup

## Builds, starts the server with a filesystem `home`, and says what to try next.
run:
	@scripts/run

## Every test.
test:
	@scripts/test

## Our figures, as JSON; NAME=... picks one benchmark.
bench:
	@scripts/setup test
	cargo run -p tintype-bench --release -- $(NAME)

## The long versions of the crash tests: ROUNDS=N kills of a real server.
torture: ROUNDS ?= 500
torture:
	@scripts/setup test
	TINTYPE_KILL_ROUNDS=$(ROUNDS) TINTYPE_REQUIRE_FUSE=1 cargo test --workspace --release -- kill --nocapture

## Formatting, lints, documentation, directions, licences.
check:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet
	cargo run --quiet -p xtask -- check

setup:
	@scripts/setup test
