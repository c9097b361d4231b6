# The two commands of this project: `make run` and `make test`. The first call makes .venv and installs into it.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: run test check torture bench bench-postgres clean

run: .venv/.installed
	$(BIN)/mainspring run

test: .venv/.installed-test
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal

check: .venv/.installed-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

torture: .venv/.installed-test
	$(BIN)/python -m pytest -m torture --timeout 3600

bench: .venv/.installed
	$(BIN)/python -m benchmarks

bench-postgres: .venv/.installed-bench
	$(BIN)/python -m benchmarks.postgres

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

.venv/.installed-bench: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	touch $@ .venv/.installed-test .venv/.installed
