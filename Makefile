PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready
# tests are compiled once, not by every worker; one that has run out of tests takes some of another's
PYTEST := OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/pytest -n auto --dist worksteal

.PHONY: demo test fast torture check docs bench clean
.DELETE_ON_ERROR:

demo: $(READY)  ## the embedded default study, its verdict and its report
	$(BIN)/transfusion study

test: $(READY)  ## the whole suite
	$(PYTEST)

fast: $(READY)  ## the suite without training, browser and what is slow: a minute
	$(PYTEST) -m 'not (training or browser or slow or torture)'

torture: $(READY)  ## what the suite only samples: bad inputs, damaged files, faults, kills; results land in benchmarks/results/
	$(BIN)/python tests/torture.py -q -n auto

check: $(READY)  ## lint, format and types
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/mypy

docs: $(READY)  ## the documentation site, built strictly into site/
	$(BIN)/zensical build --strict

bench: $(READY)  ## ratios against named peers; results land in benchmarks/results/
	for file in benchmarks/[a-z]*.py; do $(BIN)/python $$file || exit 1; done

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "transfusion needs Python 3.10 or newer: make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,docs]'
	touch $@

clean:
	rm -rf .venv .cache site build dist .mypy_cache .ruff_cache .pytest_cache
