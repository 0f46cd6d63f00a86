# make test  passes every check; make help  lists the rest.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Warnings are errors here and in continuous integration, not during development.
DENY := -D warnings

.PHONY: help test tools interop-clients contract-tester browser deny fmt-check words msrv clippy features doc unit reference test-repeat chaos test-pipeline collector dashboards dashboards-check check-prometheus check-compose test-compose bench bench-redis bench-peers clean-cache

help: ## what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

test: tools interop-clients contract-tester browser collector fmt-check deny dashboards-check check-prometheus check-compose words msrv clippy features doc unit ## everything that has to pass: format, lints, docs, all tests

tools: ## checks the tools, and installs those that are missing
	@scripts/need.sh cc=build-essential curl openssl redis-server redis-cli=redis-tools redis-sentinel setpriv=util-linux prometheus promtool=prometheus amtool=prometheus-alertmanager node=nodejs npm nginx=nginx-light
	@command -v cargo >/dev/null || { echo "cargo is missing: install Rust 1.94 or newer with rustup" >&2; exit 1; }
	@cargo fmt --version >/dev/null 2>&1 || rustup component add rustfmt
	@cargo clippy --version >/dev/null 2>&1 || rustup component add clippy

interop-clients: ## installs the stock OAuth clients, in Python and Node, that the tests ask with
	@tests/system/interop/install.sh

contract-tester: ## installs schemathesis, which holds the API against its document
	@tests/system/service/contract/install.sh

browser: ## installs Chromium, Playwright and axe, which the tests of the pages use
	@tests/system/pages/browser/install.sh

collector: ## builds the OpenTelemetry Collector that the pipeline tests use
	@otel-collector/build.sh

dashboards: ## writes the Grafana boards anew, after a change in grafana/generate
	@scripts/need.sh node=nodejs npm
	@grafana/generate/install.sh
	node grafana/generate/main.mjs grafana/dashboards

dashboards-check:
	@scripts/need.sh node=nodejs npm
	@grafana/check.sh

check-prometheus: ## promtool on the scrape configurations, the rules and their unit tests; amtool on Alertmanager's
	@prometheus/check.sh

words: ## words to avoid in comments and documentation; scripts/words.txt has them
	@scripts/check-words.sh

msrv: ## the workspace compiles with the minimum supported version of Rust
	@scripts/check-msrv.sh

check-compose: collector ## the Compose file, the Dockerfile and the Collector's configuration, without a Docker engine
	@scripts/check-compose.sh

test-compose: ## brings docker-compose.yml up, looks at it from outside, takes it down; needs a Docker engine
	@scripts/test-compose.sh

deny: ## licences, bans and sources of all dependencies; published vulnerabilities where their database can be fetched
	@scripts/deny.sh

fmt-check:
	cargo fmt --all --check

clippy:
	cargo clippy --locked --workspace --all-targets -- $(DENY)

# The workspace is built with all features at once. Applications choose theirs.
features: ## lints of the features that an application can choose, alone and together
	cargo clippy --locked --no-default-features -- $(DENY)
	cargo clippy --locked -p skriptoteket-actix --no-default-features -- $(DENY)
	cargo clippy --locked -p skriptoteket-actix -- $(DENY)
	cargo clippy --locked -p skriptoteket-actix --features telemetry -- $(DENY)
	cargo clippy --locked -p skriptoteket-actix --features tokens -- $(DENY)
	cargo clippy --locked -p skriptoteket-actix --no-default-features --features services,openapi,registration -- $(DENY)

doc:
	RUSTDOCFLAGS="$(DENY)" cargo doc --locked --workspace --no-deps --document-private-items

unit:
	cargo test --locked --workspace

reference: ## writes the reference pages and files that are generated from the program, after a change of a metric or a setting
	UPDATE_REFERENCE=1 cargo test --locked --test integration docs::
	cargo test --locked --lib -- --ignored draw_the_picture

test-repeat: tools interop-clients collector ## all tests, again and again: idle, pinned to one core, beside busy loops; REPEAT_IDLE=… and others
	@scripts/test-repeat.sh

# A minute of it is in every `make test`. CHAOS_SEED=… repeats the same choices.
chaos: tools ## ten minutes of three replicas, Redis, and all that goes wrong; CHAOS_SECONDS=… for another length
	CHAOS_SECONDS=$${CHAOS_SECONDS:-600} cargo test --locked --test system -- --nocapture whatever_goes_wrong

test-pipeline: tools collector ## the service, the Collector, Prometheus, rules and boards together; the Collector is away for a minute
	PIPELINE_AWAY_SECONDS=$${PIPELINE_AWAY_SECONDS:-60} cargo test --locked --test system -- --nocapture end_to_end::

bench: tools collector ## sessions, tokens, introspection, limits, size and start-up beside a bare actix-web handler; what a recording costs
	@scripts/need.sh wrk
	failed=0; for bench in http instruments; do cargo bench --locked --bench $$bench || failed=1; done; exit $$failed

bench-redis: tools bench-peers ## sessions in Redis: census, calls, checks, logins, expiry, side by side with others
	@scripts/need.sh wrk
	cargo bench --locked --bench sessions

bench-peers: ## builds what bench-redis compares with
	@scripts/need.sh node=nodejs npm
	cargo build --release --locked --manifest-path benches/peers/stock-session/Cargo.toml --target-dir target/peers
	npm ci --no-audit --no-fund --prefix benches/peers/express-session

clean-cache: ## removes what was built or fetched: the Collector, Docker Compose, hadolint, cargo-deny
	rm -rf .cache
