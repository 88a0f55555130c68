.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help setup setup-dev train sweep claims claims-quick verdict verdict-quick test test-full torture lint tensorboard clean

help: ## Show the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 22

# Processes side by side would fight for cores, and a number to repeat needs the same sums.
test test-full claims claims-quick verdict verdict-quick benchmark-%: export OMP_NUM_THREADS ?= 1

setup: $(VENV)/.installed ## Make .venv and install, with the versions of constraints.txt

setup-dev: $(VENV)/.installed-dev ## The same, with what the tests need

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[baselines]'
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

train: setup ## Train the transformer with pooling on 20 years of S&P 500 bars
	$(BIN)/python -m src.train

sweep: setup-dev ## Which pooling, which norm? 4 x 2 x 3 seeds and a report; RESUME=true goes on
	$(BIN)/python -m src.train -m sweep=poolings hydra/launcher=joblib sweep.resume=$(or $(RESUME),false)

claims: setup-dev ## Settle the 17 claims: 746 runs, 6.4 hours summed over runs, two at a time; RESUME=true goes on
	$(BIN)/python -m src.train -m sweep=claims log_dir=lightning_logs/claims hydra/launcher=joblib sweep.resume=$(or $(RESUME),false)
	$(BIN)/python -m benchmarks.claims lightning_logs/claims

claims-quick: setup-dev ## The direction of each verdict: 189 runs, some forty minutes of processor time
	$(BIN)/python -m src.train -m sweep=claims_quick log_dir=lightning_logs/claims_quick hydra/launcher=joblib sweep.resume=$(or $(RESUME),false)
	$(BIN)/python -m benchmarks.claims lightning_logs/claims_quick --out lightning_logs/claims_quick

verdict: setup-dev ## What can be predicted, by how much, and is it chance: half an hour by estimate; SIZE=middle is half of it
	$(BIN)/python -m benchmarks.verdict --size $(or $(SIZE),full) --write
	$(BIN)/python -m src.report verdict

verdict-quick: setup-dev ## The direction of it in three minutes on two cores, in lightning_logs/verdict_quick
	$(BIN)/python -m benchmarks.verdict --size quick --write --out lightning_logs/verdict_quick
	$(BIN)/python -m src.report lightning_logs/verdict_quick/verdict.csv.gz

test: setup-dev ## Run the default tests: about five minutes on two cores
	$(BIN)/python -m pytest -m 'not slow' --numprocesses 2

test-full: setup-dev ## Run every test
	$(BIN)/python -m pytest --numprocesses 2

torture: setup-dev ## Kill, stop and damage runs, see that nothing is lost: under an hour; CAMPAIGNS='steps random' some
	$(BIN)/python -m benchmarks.torture $(CAMPAIGNS)

mutation: setup-dev ## Plant small faults, count what the tests notice: a sample, an hour at most
	$(BIN)/python -m benchmarks.mutation --write

lint: setup-dev ## Check style, types and the links of all pages
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -p no:cacheprovider tests/test_docs.py

docs: setup ## Build the documentation into site/, with the reference of all options
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "open site/index.html"

tensorboard: setup ## Open the dashboards on http://127.0.0.1:6006/#custom_scalars
	$(BIN)/tensorboard --logdir lightning_logs --host 127.0.0.1

benchmark-faults: setup-dev ## Seed every fault, score who names it
benchmark-dose: setup-dev ## Seed each fault at eight doses: harm, and from where on it is named
benchmark-rivals: setup-dev ## Ask real packages from PyPI about the same programs
benchmark-deform: setup-dev ## Seed the 52 published fault operators for transformers
benchmark-libraries: setup-dev ## Watch the models of three forecasting libraries learn
benchmark-posted: setup-dev ## Diagnose programs as people post them, and their repaired twins
benchmark-overhead: setup-dev ## Time the monitoring against the plain step
benchmark-scores: setup-dev ## Train the presets over five seeds beside "tomorrow = today"
benchmark-throughput: setup-dev ## Time complete training against a hand-written loop
benchmark-peers: setup-dev ## Time whole trainings beside a plain loop, Lightning and three packages
benchmark-cores: setup-dev ## Time the start, threads, planning and many runs at once
benchmark-retention: setup-dev ## Measure how long each model remembers
benchmark-gpu: setup-dev ## What a GPU does for these models, and what measuring costs there
benchmark-precision: setup-dev ## Half precision beside float32: time of a step, and scores
benchmark-serving: setup-dev ## Load and fuzz the service

benchmark-%:
	$(BIN)/python -m benchmarks.$* --write

clean: ## Remove the environment and caches; runs in lightning_logs stay
	rm -rf $(VENV) *.egg-info .pytest_cache .ruff_cache .mypy_cache
	find . -name __pycache__ -type d -exec rm -rf {} +
