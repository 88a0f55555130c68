.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help setup train sweep test test-full lint tensorboard benchmark-faults benchmark-overhead clean

help: ## Show the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 22

setup: $(VENV)/.installed ## Make .venv and install everything, with the versions of constraints.txt

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

train: setup ## Train the transformer with pooling on 20 years of S&P 500 bars
	$(BIN)/python -m src.train

sweep: setup ## Compare poolings and norms over two seeds, two epochs each
	$(BIN)/python -m src.train -m pooling=mean,learnable,gated,attention norm=none,feature seed=0,1 trainer.max_epochs=2

test: setup ## Run the default tests: a few minutes on two cores
	$(BIN)/python -m pytest -m 'not slow'

test-full: setup ## Run every test
	$(BIN)/python -m pytest

lint: setup ## Check style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

tensorboard: setup ## Open the dashboards on http://127.0.0.1:6006
	$(BIN)/tensorboard --logdir lightning_logs --host 127.0.0.1

benchmark-faults: setup ## Seed every fault, score the diagnosis, rewrite benchmarks/results/faults.*
	$(BIN)/python -m benchmarks.faults --seeds 5 --write

benchmark-overhead: setup ## Time the monitoring against the plain step, rewrite benchmarks/results/overhead.*
	$(BIN)/python -m benchmarks.overhead --write

clean: ## Remove the environment and caches; runs in lightning_logs stay
	rm -rf $(VENV) *.egg-info .pytest_cache .ruff_cache .mypy_cache
	find . -name __pycache__ -type d -exec rm -rf {} +
