VENV   := .venv
PYTHON ?= python3
PIP    := $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
STAMP  := $(VENV)/.installed

.PHONY: install demo test fast check docs package clean
.NOTPARALLEL:

install: $(STAMP)

# torch first and by itself: pip then finds the CPU build of the pinned version and nothing later asks for another
$(STAMP): pyproject.toml constraints.txt
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(PIP) torch
	$(PIP) -e '.[test]'
	touch $@

# first the control, in which the effect must appear, then Gemma-3-270M
demo: $(STAMP)
	$(VENV)/bin/spillover run examples/organism.toml
	$(VENV)/bin/spillover run examples/demo.toml

# one process more than cores, since many tests wait for processes of their own; each has one thread, since the models
# of the tests are too small to share out
test: $(STAMP)
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest --dist worksteal --maxprocesses 4 \
		-n $$($(PYTHON) -c 'import os; print((os.cpu_count() or 1) + 1)')

# what needs no model, process, browser or network; `tests/support/marks.py` says which tests those are
fast: $(STAMP)
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n auto --maxprocesses 4 --dist worksteal --fast

check: $(STAMP)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/python -m pytest tests/test_layers.py tests/test_names.py

docs: $(STAMP)
	$(PIP) -e '.[docs]'
	$(VENV)/bin/mkdocs build --strict

# the wheel in a clean environment, used from another folder
package: $(STAMP)
	.ci/package

clean:
	rm -rf $(VENV) runs build dist site
