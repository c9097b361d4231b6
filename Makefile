# The two commands of this project: `make run` and `make test`. The first call makes .venv and installs into it.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: run test check torture bench clean

run: .venv/.installed
	$(BIN)/mainspring run

test: .venv/.installed-test
	$(BIN)/python -m pytest

check: .venv/.installed-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

torture: .venv/.installed-test
	$(BIN)/python -m pytest -m torture --timeout 3600

bench: .venv/.installed
	$(BIN)/python -m benchmarks

clean:
	rm -rf .venv var

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.installed: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

.venv/.installed-test: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	touch $@ .venv/.installed
