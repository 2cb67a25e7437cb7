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

## The long versions of the campaigns on real mounts: ROUNDS=N kills of a real server, and the rest in proportion; SEED=N. Then the decoders:
## many more inputs, and a fuzzer for a second per 5 rounds and target.
torture: ROUNDS ?= 500
torture: SEED ?= 1
torture:
	TINTYPE_REQUIRE_FUSE=1 \
	TINTYPE_KILL_ROUNDS=$(ROUNDS) TINTYPE_KILL_SEED=$(SEED) \
	TINTYPE_FSX_OPS=$$(($(ROUNDS) * 2000)) TINTYPE_FSX_SEED=$(SEED) \
	TINTYPE_DIFFERENTIAL_OPS=$$(($(ROUNDS) * 1000)) TINTYPE_DIFFERENTIAL_SEED=$(SEED) \
	TINTYPE_DAMAGE_SAMPLES=$$(($(ROUNDS) * 4)) TINTYPE_DAMAGE_SEED=$(SEED) \
	TINTYPE_CHURN_STEPS=$$(($(ROUNDS) * 4)) TINTYPE_CHURN_SEED=$(SEED) \
	scripts/test -p tintype-cli --profile torture --cargo-profile release -E 'test(/^(kill|suites|differential|damage|churn)::/)' --no-capture
	TINTYPE_FUZZ_INPUTS=$$(($(ROUNDS) * 10000)) TINTYPE_FUZZ_SEED=$(SEED) \
	scripts/test -p tintype-repo -p tintype-image -p tintype-nbd --profile torture --cargo-profile release --test hostile
	scripts/fuzz $$(($(ROUNDS) / 5))

## Formatting, lints, documentation, directions, licences.
check:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet
	cargo run --quiet -p xtask -- check

setup:
	@scripts/setup test
