# The two commands of this project: `make run` and `make test`. The first call makes .venv and installs into it.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: run test check browser screenshots torture bench bench-postgres clean

run: .venv/.installed
	$(BIN)/mainspring run

test: .venv/.installed-test
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal

# Chromium of Debian or Ubuntu, for the tests in tests/browser; without a browser they are skipped.
browser:
	@for name in chromium chromium-browser google-chrome; do \
		if command -v $$name; then exit 0; fi; \
	done; \
	if ! command -v apt-get > /dev/null; then \
		echo "make browser: there is no apt-get here; install Chromium or Google Chrome in another way," \
			"as chromium, chromium-browser or google-chrome on the PATH" >&2; exit 1; \
	fi; \
	if [ "$$(id -u)" = 0 ]; then as_root=; \
	elif command -v sudo > /dev/null; then as_root=sudo; \
	else echo "make browser: neither root nor sudo; have somebody run: apt-get install chromium fonts-dejavu-core" >&2; \
		exit 1; \
	fi; \
	$$as_root apt-get update --quiet && \
	$$as_root env DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes --no-install-recommends \
		chromium fonts-dejavu-core

# Draws the pictures in docs/screenshots anew.
screenshots: .venv/.installed-test browser
	$(BIN)/python -m tests.browser.screenshots

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
