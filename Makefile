# Two commands for a machine that has python3, make and git:
#   make demo    train a small network on photographs and look at the result
#   make test    the tests
# Each makes .venv by itself. The versions are those of requirements.lock; to follow
# the newest ones instead: make test LOCK=

PYTHON ?= python3
LOCK ?= -c requirements.lock
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

.PHONY: demo test test-all lint bench notebooks lock clean

demo: $(VENV)/.demo
	$(BIN)/python -m jdeconv train --config configs/smoke.py --workdir runs/demo
	$(BIN)/python -m jdeconv evaluate --workdir runs/demo --figure

# Most of a test is compiling: `test` does without XLA's costly optimisations.
test: $(VENV)/.dev
	JAX_DISABLE_MOST_OPTIMIZATIONS=1 $(BIN)/python -m pytest -n auto --dist worksteal -q -m "not slow"

test-all: $(VENV)/.dev
	$(BIN)/python -m pytest -n auto --dist worksteal -q

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(VENV)/.peers
	$(BIN)/python -m benchmarks

notebooks: $(VENV)/.dev
	$(BIN)/jupytext --to notebook colab/*.py --update-metadata \
	  '{"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}'

lock: $(VENV)/.peers
	$(BIN)/python -m pip freeze --exclude-editable | sed 's/+cpu$$//' > requirements.lock

clean:
	rm -rf $(VENV)

$(VENV)/.made:
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.demo: $(VENV)/.made pyproject.toml requirements.lock
	$(PIP) install $(LOCK) -e ".[demo]"
	touch $@

$(VENV)/.dev: $(VENV)/.made pyproject.toml requirements.lock
	$(PIP) install $(LOCK) -e ".[dev]"
	touch $@ $(VENV)/.demo

$(VENV)/.peers: $(VENV)/.dev
	$(PIP) install $(LOCK) -e ".[dev,peers]"
	touch $@
