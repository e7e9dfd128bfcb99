# `make` alone prints the menu. Every target creates the virtual environment first if it needs it.

PYTHON ?= python3
VENV   := .venv
JOBS   ?= 3
TRIALS ?= 4
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
SUITE  := --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder -m "not alone and not whole and not prove and not kill and not wheel"
# The twin is the target unless the arguments name another one.
ON_TWIN = $(if $(findstring --url,$(ARGS))$(findstring --target,$(ARGS)),,--target twin)

# If it were set, each of the hundreds of processes in the tests would compile every module again.
unexport PYTHONDONTWRITEBYTECODE
export FLAGS BASE IMAGE_FLAGS

.DEFAULT_GOAL := help
.PHONY: help install check test load probe lint thorough bench serve report record docs prove clean

help:
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(READY) ## create the virtual environment with touchstone in it
	@echo "touchstone is in $(BIN)"

check: $(READY) ## judge the embedded twin; ARGS="--url …" judges another target
	@$(BIN)/touchstone check $(ON_TWIN) $(ARGS)

load: $(READY) ## put a steady load on the embedded twin; ARGS="storm --builds 40" another one
	@$(BIN)/touchstone load $(or $(ARGS),steady)

probe: $(READY) ## identify the rate limiter of the embedded twin; ARGS="--url …" of another target
	@$(BIN)/touchstone probe $(ARGS)

serve: $(READY) ## start the twin on port 8123; ARGS="--rate 8/4 --capacity 2" gives it limits
	@$(BIN)/touchstone serve $(ARGS)

report: $(READY) ## write the reports of the newest run again; LOG=… of another one
	@$(BIN)/touchstone report $(or $(LOG),$(shell ls -t reports/*/runlog.jsonl 2>/dev/null | head -n 1))

record: $(READY) ## record the scenarios of the twin; ARGS="--target staging fresh-build" of another target
	@$(BIN)/touchstone record $(ON_TWIN) $(ARGS)

test: $(READY) ## test the harness, offline; ARGS="-k …" picks tests
	@$(BIN)/python -m pytest $(SUITE) $(ARGS)

lint: $(READY) ## check style, types, layers, sizes, the contract document, recordings, reference pages, deploy/
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy
	@$(BIN)/openapi-spec-validator --validation-errors all openapi/builds.yaml && $(BIN)/touchstone recordings lint && sh .ci/deploy $(BIN)
	@$(BIN)/lint-imports --no-logo && $(BIN)/python -m tests.reference --check && $(BIN)/python .ci/sizes.py

prove: $(READY) ## prove that a check finds every known fault; ARGS="--fault 'cancel-*'" picks faults
	@$(BIN)/touchstone prove --jobs $(TRIALS) $(ARGS)

thorough: $(READY) ## run the long suites; ARGS="kill wheel" picks some, FLAGS="-k …" goes to one
	@sh .ci/thorough $(BIN) $(JOBS) $(TRIALS) $(ARGS)

bench: $(READY) ## measure replay, load, probes, faults and checks; ARGS="probe --seeds 3" measures one
	@set -e; $(if $(ARGS),$(BIN)/python -m tests.bench.bench_$(ARGS),for one in replay load probe faults check; do $(BIN)/python -m tests.bench.bench_$$one; done)

docs: $(READY) ## write docs/reference/ from the code; ARGS=--picture also renders docs/report.png
	@$(BIN)/python -m tests.reference $(ARGS)

clean: ## remove the virtual environment, reports and caches
	@rm -rf $(VENV) $(VENV).lock .venv-fuzz reports dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .schemathesis
	@find touchstone contract_tests tests -name __pycache__ -type d -prune -exec rm -rf {} +

# Two makes at a time wait for each other if flock is installed.
$(READY): requirements.lock pyproject.toml
	@sh -c 'exec 9> $(VENV).lock; ! command -v flock > /dev/null || flock 9; PYTHON="$(PYTHON)" sh .ci/venv $(VENV) $@'
