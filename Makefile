# The commands of this project. Each installs what it needs (hack/setup.sh) and is safe to repeat.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

export WINDLASS_CACHE ?= $(HOME)/.cache/windlass
export CARGO_TARGET_DIR ?= $(WINDLASS_CACHE)/target
SPARK_DEFAULT := 4.3.0
SPARK_ALL := 3.5.9 4.3.0
WINDLASS := $(CARGO_TARGET_DIR)/debug/windlass

.PHONY: help demo test lint e2e bench gen build setup setup-all

help: ## Show the commands.
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup:
	@hack/setup.sh $(SPARK_DEFAULT)

setup-all:
	@WINDLASS_EXTRA_PACKAGES="openjdk-17-jdk-headless" hack/setup.sh $(SPARK_ALL)

build: setup
	@echo "==> building windlass" >&2
	@cargo build --workspace --bins

demo: build ## Set up, build, and run real Spark jobs on the embedded cluster.
	@hack/demo.sh $(WINDLASS)

test: setup-kubectl setup ## Run the tests.
	cargo test --workspace

setup-kubectl:
	@command -v kubectl >/dev/null 2>&1 || WINDLASS_EXTRA_PACKAGES=kubernetes-client hack/setup.sh $(SPARK_DEFAULT)

lint: ## Check formatting and lints.
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

e2e: setup-kubectl setup-all ## Run the long tests with every Spark version.
	cargo test -p windlass --test e2e -- --test-threads=1

bench: setup-all ## Measure what docs/benchmarks.md says.
	cargo build --release -p windlass
	bench/run.py $(CARGO_TARGET_DIR)/release/windlass

gen: ## Regenerate the files that code is the source of.
	cargo run -q -p xtask -- gen
