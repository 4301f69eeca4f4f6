# make setup   install what a bare Debian lacks
# make demo    load TPC-H into a fresh Pando, check the 22 answers, stay up   (ARGS="--scale 0.01 --exit")
# make test    everything that must be green
# make bench   compare with DuckDB on TPC-H                                   (ARGS="--scale 10")
# make bench-large     TPC-H 10 in 1 GiB: memory, failures, answers            (ARGS="--scale 30 --memory 2GiB")
# make bench-cluster   TPC-H on 1, 2 and 4 leaves, the exchange beside TCP     (ARGS="--scale 10")
# make bench-shuffle   a join of two tables of 10 M rows where they lie, and shuffled
# make bench-leaf   what the storage of a leaf does in a second, beside its disk  (ARGS=--quick)
# make fmt, make lint

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup build demo test bench bench-large bench-cluster bench-shuffle bench-leaf fmt lint rust-tests system-tests

# One folder for what is built, outside of the work tree, so that every clone shares it.
CACHE := $(HOME)/.cache/pando
export CARGO_TARGET_DIR ?= $(CACHE)/target
VENV := $(CACHE)/venv
PYTHON := $(VENV)/bin/python
export PANDO_NODE_MODULES ?= $(CACHE)/node/node_modules
PANDO = $(CARGO_TARGET_DIR)/debug/pando

# The system's RocksDB, where there is one; else the build compiles its own.
ROCKSDB = $(shell for lib in /usr/lib/*/librocksdb.so /usr/lib/librocksdb.so; do \
    if [ -e $$lib ]; then echo ROCKSDB_LIB_DIR=$$(dirname $$lib); break; fi; done)
CARGO = env $(ROCKSDB) cargo

ARGS ?=

help:
	@sed -n 's/^# make /make /p' Makefile

setup:
	@scripts/setup $(VENV)

# --workspace chooses the features that all of it asks for: with --package the dependencies would be
# built a second time with others.
build:
	$(CARGO) build --locked --workspace --bins

demo: setup build
	$(PANDO) demo --data $(CACHE)/demo $(ARGS)

test: lint rust-tests system-tests

lint:
	cargo fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" $(CARGO) doc --locked --workspace --no-deps --document-private-items --quiet

# The order of crates and the licences are tests too: tests/tidy. The simulations of transactions and of
# losses of power run this many seeds; alone they run fewer.
rust-tests: export PANDO_SIM_SEEDS ?= 5000
rust-tests: export PANDO_CRASH_SEEDS ?= 2000
rust-tests:
	if command -v cargo-nextest >/dev/null; then \
	    $(CARGO) nextest run --locked --workspace; \
	else \
	    $(CARGO) test --locked --workspace --lib --bins --tests; \
	fi

# Against the program itself, through real clients. Built together with the tests, so that nothing
# is compiled a second time with other features.
system-tests:
	$(CARGO) build --locked --workspace --bins --tests
	PANDO_BIN=$(PANDO) $(PYTHON) -m pytest -q -p no:cacheprovider \
	    tests/clients tests/slt tests/selects tests/error_ui tests/compat tests/chaos tests/k8s

bench: setup build
	PANDO_BIN=$(PANDO) $(PYTHON) benches/tpch/run.py $(ARGS)

bench-large: setup build
	PANDO_BIN=$(PANDO) $(PYTHON) benches/tpch/large.py $(ARGS)

bench-cluster: setup build
	PANDO_BIN=$(PANDO) $(PYTHON) benches/cluster/run.py $(ARGS)

bench-shuffle: setup build
	PANDO_BIN=$(PANDO) $(PYTHON) benches/cluster/shuffle_join.py $(ARGS)

# With the features and the profile of everything else: nothing is compiled a second time.
bench-leaf: setup
	$(CARGO) bench --locked --workspace --profile dev --bench leaf_io -- $(ARGS)

fmt:
	cargo fmt --all
