# The commands of the README; .ci/run calls the same ones.
CARGO ?= cargo
EVENTS ?= 50000

.PHONY: setup demo test torture fuzz bench audit man build

setup: ## Provide nats-server and PostgreSQL where they are missing.
	@scripts/setup

build: ## The programs, optimised.
	$(CARGO) build --release --locked -p trstctl-dr -p trstctl-signer

demo: setup build ## The main job on throw-away engines, with a report.
	target/release/trstctl-dr demo --events $(EVENTS)

# The programs are built with all tests; those that run them need not see to it.
test torture: export TRSTCTL_PROGRAMS_ARE_BUILT = 1

# The same inputs each time; in its whole form, others each time.
test: export PROPTEST_RNG_SEED = 105
test: setup ## All tests, on real engines.
	$(CARGO) test --workspace --locked --no-fail-fast

torture: ## The same in their whole form: an hour or more. TRSTCTL_SEED=n repeats what chance decided.
	@scripts/setup torture
	TRSTCTL_TORTURE=1 $(CARGO) test --workspace --locked --no-fail-fast -- --nocapture

fuzz: SECONDS = 60
fuzz: ## Each reader of untrusted bytes over mutations of its corpus, SECONDS long each; TARGET=header for one, JOBS at once.
	$(CARGO) run --release --locked -p trstctl-fuzz -- $(TARGET) --seconds $(SECONDS) $(if $(JOBS),--jobs $(JOBS))

# Which rows: words that their names contain; ROWS=verify for some, ROWS=--list for the names.
# Sizes: EVENTS, GB, SIZES, ROUNDS (tests/benches/yardsticks/setting.rs).
bench: EVENTS = 1000000
bench: setup build ## Every promised number beside its yardstick, into docs/benchmarks.md.
	EVENTS=$(EVENTS) GB="$(GB)" SIZES="$(SIZES)" ROUNDS="$(ROUNDS)" $(CARGO) bench --locked -p trstctl-tests --bench yardsticks -- $(ROWS)

audit: build ## No table of the migrations without a recovery class.
	target/release/trstctl-dr manifest audit --migrations migrations

man: ## Write the man pages anew from the command line's definition.
	UPDATE_MAN=1 $(CARGO) test --locked -p trstctl-dr -p trstctl-signer --test man
