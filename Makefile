# reelstream: make demo is all it takes. `make help` lists the rest.
# Another package index, or the small CPU build of torch:  make setup PIP_ARGS="--extra-index-url https://…"
PYTHON ?= python3
PIP_ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PORT ?= 8000
SEED ?= 1
FAULTS ?= 100
# Two processes, a module at a time, each with services of its own; one where all tests share the Kafka that is named.
PARALLEL := $(if $(KAFKA_BOOTSTRAP_SERVERS),,-n 2 --dist loadfile)

.PHONY: help setup demo test faults fuzz endurance check contract bench clean

help:
	@echo "make setup   the virtual environment with everything in it"
	@echo "make demo    everything on this machine, on real data: a feed that moves"
	@echo "make test    the whole test suite, after whatever it needs"
	@echo "make faults  SEED=1 FAULTS=100 random faults under load, then everything against the log"
	@echo "make check   lint, types, layers"
	@echo "make contract  docs/contract anew, from the types"
	@echo "make bench   the benchmarks; each prints its ratios as JSON"
	@echo "make endurance  a million events in a row into every online model"
	@echo "make fuzz    a quarter of a million bad messages, then PostgreSQL with what survived"

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "reelstream needs Python 3.11 or later as '$(PYTHON)'. Install it (Debian: apt install python3 python3-venv; macOS: brew install python)"; \
	  echo "or name one: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "Python's venv module is missing: install it (Debian: apt install python3-venv)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check $(PIP_ARGS) -c constraints.txt -e ".[batch,embedded,evaluate,yardsticks,study,dev]"
	@touch $(STAMP)

demo: setup
	$(BIN)/reelstream up --port $(PORT) --dataset ml-100k

test: setup
	@tests/packages.sh
	$(BIN)/pytest -q $(PARALLEL)

faults: setup
	$(BIN)/python -m tests.faults.run $(SEED) $(FAULTS)

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

contract: setup
	$(BIN)/python -m schemas.contract

bench: setup
	$(BIN)/python benchmarks/freshness.py
	$(BIN)/python benchmarks/ingest.py
	$(BIN)/python benchmarks/catch_up.py --events 200000
	$(BIN)/python benchmarks/takeover.py 3
	OPENBLAS_NUM_THREADS=1 $(BIN)/python benchmarks/learning.py
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m benchmarks.ranker
	$(BIN)/python benchmarks/record.py
	$(BIN)/python benchmarks/memory.py

fuzz: setup
	$(BIN)/python tests/fuzz/with_hypothesis.py
	$(BIN)/python tests/fuzz/with_atheris.py
	$(BIN)/pytest -q tests/integration/test_dead_letters.py

endurance: setup
	EVENTS=1000000 $(BIN)/pytest -q tests/unit/test_online_contracts.py -k stay

clean:
	rm -rf $(VENV) dist
