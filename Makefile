# Every target makes the virtual environment first, when it is missing or older than what it is made from.

PYTHON ?= python3
WORKERS ?= 2
PYTEST_ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast test-wheel test-newest lint lint-format lint-style lint-types lint-layers format bench fuzz docs site browser clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(STAMP) ## train on the Indian Pines scene; results go to outputs/
	$(BIN)/python examples_torch/phase3_gradient_training.py --config-name demo

test: $(STAMP) browser ## run every test that needs no accelerator
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m "not gpu" $(PYTEST_ARGS)

test-fast: $(STAMP) ## run the tests that are neither slow nor in need of a browser or accelerator
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m "not (slow or browser or gpu)" $(PYTEST_ARGS)

test-wheel: $(STAMP) ## install the wheel without extras, and make a map with it; `make test` does so, too
	$(BIN)/python -m pytest tests/test_distributions.py -k wheel

# Without a CPU build of torch for that Python, its CUDA build is installed: 2.5 GB, 5.6 GB on disk.
test-newest: ## run the fast tests and that of the wheel on the newest Python of this machine, in an environment of its own
	@if python=$$(.ci/newest_python $(PYTHON)); then \
		version=$$("$$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
		echo "test-newest: Python $$version, $$python"; \
		$(MAKE) PYTHON="$$python" VENV=".venv-$$version" test-fast test-wheel; \
	else echo "test-newest: no Python newer than that of $(PYTHON) runs here, up to 3.14: nothing to do"; fi

lint: lint-format lint-style lint-types lint-layers ## check format, style, types and layers

lint-format: $(STAMP)
	$(BIN)/ruff format --check --quiet .

lint-style: $(STAMP)
	$(BIN)/ruff check .

lint-types: $(STAMP)
	$(BIN)/mypy

lint-layers: $(STAMP)
	$(BIN)/lint-imports

format: $(STAMP) ## rewrite the code in the project's format
	$(BIN)/ruff check --select I --fix .
	$(BIN)/ruff format .

bench: $(STAMP) ## measure beside NumPy, scikit-learn, Spectral Python and PyTorch by hand; prints one table
	$(BIN)/python benchmarks/table.py

fuzz: $(STAMP) ## 50,000 mutated archives, 5,000 checkpoints, 3,000 input files a format, 5,000 configurations, 10,000 files of statistics, 20 kills; offending ones go to outputs/fuzz/
	$(BIN)/python -m fuzz.archives --workers $(WORKERS)
	$(BIN)/python -m fuzz.checkpoints --workers $(WORKERS)
	$(BIN)/python -m fuzz.inputs --workers $(WORKERS)
	$(BIN)/python -m fuzz.kills
	$(BIN)/python -m fuzz.configurations
	$(BIN)/python -m fuzz.sketches --workers $(WORKERS)

docs: $(STAMP) ## serve the documentation, with the API reference, on http://127.0.0.1:8000
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

site: $(STAMP) ## write that site to site/; a warning, such as of a broken link, is an error
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# Only where a test asks for a browser, and only as root; elsewhere those tests are skipped and say so.
browser:
	@if grep -rqs --include='test_*.py' 'mark\.browser' tests && ! command -v chromium >/dev/null; then \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			apt-get update -qq && \
			DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium; \
		else echo "chromium is not installed: the browser tests will be skipped"; fi; fi

clean: ## remove the environment, caches and build products; outputs/ stays
	rm -rf $(VENV) .venv-* build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The package's version stands in cuvis_ai/__init__.py.
$(STAMP): pyproject.toml constraints.txt cuvis_ai/__init__.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name it: make PYTHON=python3.11 …"; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@echo "Installing into $(VENV) what constraints.txt pins; this takes some minutes the first time."
	$(BIN)/python -m pip install --quiet --editable '.[dev]' --constraint constraints.txt
	@touch $@
