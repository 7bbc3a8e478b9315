# The commands of this project. Each installs what it needs (hack/setup.sh) and is safe to repeat.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# Everything that is fetched or built lives outside the checkout.
home := $(or $(HOME),$(shell echo ~))
export WINDLASS_CACHE ?= $(or $(XDG_CACHE_HOME),$(home)/.cache)/windlass
# Where rustup puts cargo, for shells that have not been told.
export PATH := $(PATH):$(home)/.cargo/bin
# Cargo takes the crates of two checkouts for the same, so each checkout builds in a directory of
# its own; hack/target-dir.sh shares the dependencies.
ifndef CARGO_TARGET_DIR
own_target := $(WINDLASS_CACHE)/build/$(shell printf '%s' '$(CURDIR)' | cksum | cut -d ' ' -f 1)
export CARGO_TARGET_DIR := $(own_target)
endif
PREFIX ?= $(home)/.local
SPARK_DEFAULT := 4.3.0
SPARK_ALL := 3.5.9 4.3.0
WINDLASS := $(CARGO_TARGET_DIR)/debug/windlass

.PHONY: help install demo test sweep lint e2e e2e-apps e2e-floor bench gen build rust setup setup-test setup-all

help: ## Show the commands.
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: rust
	@hack/setup.sh $(SPARK_DEFAULT)

setup-test: rust
	@hack/setup.sh --kubectl --promtool $(SPARK_DEFAULT)

setup-all: rust
	@hack/setup.sh --kubectl --promtool --jdk --registry --clients $(SPARK_ALL)
	@hack/informer.sh >/dev/null
	@hack/helm.sh >/dev/null

rust:
	@command -v cargo >/dev/null 2>&1 || { echo "windlass: cargo is missing: install Rust first (rustup, see rust-lang.org)" >&2; exit 1; }
	@[ -z '$(own_target)' ] || hack/target-dir.sh '$(own_target)'

build: setup
	@echo "==> building windlass (the first time takes minutes)" >&2
	@cargo build --workspace --bins

install: build ## Link windlass into PREFIX/bin, by default ~/.local/bin.
	@mkdir -p '$(PREFIX)/bin'
	@ln -sf '$(WINDLASS)' '$(PREFIX)/bin/windlass'
	@echo "==> $(PREFIX)/bin/windlass" >&2
	@command -v windlass >/dev/null || echo "windlass: $(PREFIX)/bin is not on your PATH; add it" >&2

demo: build ## Set up, build, and run real Spark jobs on the embedded cluster.
	@'$(WINDLASS)' warm $(SPARK_DEFAULT)
	@hack/demo.sh '$(WINDLASS)'

# One test more than there are processors, since tests wait as well as they work.
test: export RUST_TEST_THREADS ?= $(shell echo $$(($$(nproc) + 1)))
test: setup-test ## Run the tests.
	cargo test --workspace

sweep: export WINDLASS_SWEEP ?= usual
sweep: setup-test ## Run more of what make test runs samples of: mishaps at the calls of operators.
	cargo test --workspace --test it -- a_mishap

lint: rust ## Check formatting and lints.
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	@# Targets that are no part of cargo test are no part of all targets either.
	cargo clippy --workspace --test e2e -- -D warnings

e2e: rust ## Run the long tests with every Spark version.
	hack/prepare-e2e.sh $(SPARK_ALL)
	hack/e2e.sh

e2e-apps: rust ## Run what e2e leaves out: the catalog, Airflow, buckets, Spark Connect, every field of executors.
	hack/prepare-e2e.sh $(SPARK_ALL)
	@hack/setup.sh --catalog $(SPARK_DEFAULT)
	@hack/helm.sh >/dev/null
	hack/e2e.sh --apps

e2e-floor: export WINDLASS_KUBERNETES_MINOR := 1.20
e2e-floor: rust ## Run the long tests that need Kubernetes on the oldest one.
	hack/prepare-e2e.sh $(SPARK_ALL)
	@# Documents are about the current one, and so are the programs that make volumes.
	hack/e2e.sh kubernetes:: --skip kubernetes::documents --skip kubernetes::growth

bench: setup-all ## Measure what docs/benchmarks.md says.
	cargo build --release -p windlass
	bench/run.py '$(CARGO_TARGET_DIR)/release/windlass'
	cargo bench --workspace --bench servers

gen: rust ## Regenerate the files that code is the source of.
	cargo build -q --workspace --bins
	'$(CARGO_TARGET_DIR)/debug/xtask' gen
	WINDLASS_GENERATE=1 cargo test -q --workspace --test it -- generated
