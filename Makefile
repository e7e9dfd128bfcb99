# The menu: `make` alone prints it. Every target that needs the virtual environment creates it first.

PYTHON ?= python3
VENV   := .venv
JOBS   ?= 4
TRIALS ?= 12
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
SUITE  := --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder -m "not alone and not whole and not prove and not hostile and not kill and not wheel"
FUZZER := .venv-fuzz

# Where it is set, each of the hundreds of processes that tests start would compile every module anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install check test whole steady truth load probe probe-lab hostile lint image prove prove-generated prove-load kill wheel fuzz record bench bench-probe serve report docs clean

help: ## print this menu
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(READY) ## create the virtual environment with touchstone in it
	@echo "touchstone is in $(BIN)"

check: $(READY) ## judge the embedded twin against the contract; ARGS="--url …" judges another target
	@$(BIN)/touchstone check $(if $(findstring --url,$(ARGS))$(findstring --target,$(ARGS)),,--target twin) $(ARGS)

test: $(READY) ## test the harness itself, offline; ARGS="-k …" picks tests
	@$(BIN)/python -m pytest $(SUITE) $(ARGS)

whole: $(READY) ## test loads and probes as wholes: what they print, how they end, what ends them, on several processes
	@$(BIN)/python -m pytest -q --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder -m whole $(ARGS)

steady: $(READY) ## run the tests 20 times in random order on busy cores, hours; ARGS="--runs 3 --first 7" picks orders
	@$(BIN)/python -m tests.steadiness $(ARGS) $(SUITE)

truth: $(READY) ## load a server that stalls, find a knee, name limiters in virtual time, 3 minutes with nothing beside it
	@$(BIN)/python -m pytest -m alone tests/test_load_truth.py tests/test_probe_knee.py tests/test_readme.py tests/test_tutorial.py tests/test_howto.py
	@$(BIN)/python -m pytest -q -m alone --numprocesses 2 --dist loadfile tests/limiter

load: $(READY) ## put a steady load on the embedded twin and judge it; ARGS="storm --builds 40" puts another one
	@$(BIN)/touchstone load $(or $(ARGS),steady)

probe: $(READY) ## find out which rate limiter is behind the embedded twin; ARGS="--url …" probes another target
	@$(BIN)/touchstone probe $(ARGS)

probe-lab: $(READY) ## probe limiters that others wrote, each three times: are they named rightly?
	@$(BIN)/python -m pytest tests/test_probe_lab.py $(ARGS)

hostile: $(READY) ## run the commands against servers that are broken in every way, minutes; ARGS="gzip" picks some
	@$(BIN)/python -m tests.hostile --jobs $(JOBS) $(ARGS)

lint: $(READY) ## read the code: style, types, sizes, layers, the contract document, the recordings, the lock file, deploy/
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy
	@$(BIN)/openapi-spec-validator --validation-errors all openapi/builds.yaml && $(BIN)/touchstone recordings lint && sh .ci/deploy $(BIN)
	@$(BIN)/lint-imports --no-logo && $(BIN)/python .ci/sizes.py

image: $(READY) ## build the container image and run it, with docker, podman or buildah; BASE=… names another base
	@TOUCHSTONE_IMAGE_FLAGS="$(if $(BASE),--build-arg BASE=$(BASE)) $(FLAGS)" $(BIN)/python -m pytest -m alone tests/test_image.py $(ARGS)

prove: $(READY) ## show of every claim that a server that breaks it is found; ARGS="--fault 'cancel-*'" picks faults
	@$(BIN)/touchstone prove --jobs $(TRIALS) $(ARGS)

prove-generated: $(READY) ## the same with faults that are derived from the contract
	@$(BIN)/touchstone prove --generated --jobs $(TRIALS) $(ARGS)

prove-load: $(READY) ## show of the faults that only load shows that a load run finds each
	@$(BIN)/python -m pytest tests/test_load_faults.py

kill: $(READY) ## kill runs at 30 random points, and have runs beside each other: is anything left behind?
	@$(BIN)/python -m pytest -q -m kill tests/test_kills.py tests/test_two_runs.py tests/test_disk.py $(ARGS)

wheel: $(READY) ## build the wheel into dist/ and run each command of it where nothing of the checkout is
	@$(BIN)/python -m pytest -m wheel tests/test_wheel.py $(ARGS)

fuzz: $(READY) $(FUZZER)/.ready ## feed our readers garbage, 10 minutes each; ARGS="--seconds 60 eventstream har" picks
	@PYTHONPATH=$(FUZZER) $(BIN)/python -m tests.fuzz $(ARGS)

record: $(READY) ## record the scenarios anew; ARGS="--target staging fresh-build" records one of another target
	@$(BIN)/touchstone record $(if $(findstring --url,$(ARGS))$(findstring --target,$(ARGS)),,--target twin) $(ARGS)

bench: $(READY) ## measure replays, load engines beside others, plain schemathesis beside a check, probes; ARGS="--faults 40"
	@$(BIN)/python -m tests.bench.bench_replay && $(BIN)/python -m tests.bench.bench_load && $(BIN)/python -m tests.bench.bench_check
	@$(BIN)/python -m tests.bench.bench_probe && $(BIN)/python -m tests.bench.bench_faults $(ARGS)

bench-probe: $(READY) ## measure how well a probe names limiters, a part of bench; ARGS="--seeds 3 --jitter-ms 5" picks which
	@$(BIN)/python -m tests.bench.bench_probe $(ARGS)

serve: $(READY) ## start the twin on port 8123; ARGS="--rate 8/4 --capacity 2" gives it limits
	@$(BIN)/touchstone serve $(ARGS)

report: $(READY) ## write the reports of the newest run again; LOG=… names another run log
	@$(BIN)/touchstone report $(or $(LOG),$(shell ls -t reports/*/runlog.jsonl 2>/dev/null | head -n 1))

docs: $(READY) ## make docs/reference/ anew from the code
	@$(BIN)/python -m tests.reference

clean: ## remove the virtual environment, reports and caches
	@rm -rf $(VENV) $(VENV).lock $(FUZZER) reports dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .schemathesis
	@find touchstone contract_tests tests -name __pycache__ -type d -prune -exec rm -rf {} +

# Beside the environment and not in it: there are machines that it has no wheel for, and nothing else needs it.
$(FUZZER)/.ready: tests/fuzz/requirements.lock $(READY)
	@$(BIN)/python -m pip install -q --disable-pip-version-check --only-binary :all: --require-hashes --upgrade --target $(FUZZER) -r $<
	@touch $@

# Two makes at a time wait for each other where flock is there; the second one finds the work done.
$(READY): requirements.lock pyproject.toml
	@sh -c 'exec 9> $(VENV).lock; ! command -v flock > /dev/null || flock 9; PYTHON="$(PYTHON)" sh .ci/venv $(VENV) $@'
