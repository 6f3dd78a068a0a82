# Needs make and Python 3.11 or newer with venv; everything else is installed into .venv from the locked wheels.
.POSIX:
SHELL = /bin/sh

PY = .venv/bin/python
INSTALL = $(PY) -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all:

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-18s %s\n", $$1, $$2 }' Makefile

demo: venv-run ## the portal and a simulated Huawei Cloud on this machine (PORT, SANDBOX_PORT, DEMO_DIR, DEMO_PASSWORD)
	@exec $(PY) -m portal.demo

test: venv-dev ## the whole suite; ARGS are pytest's
	@$(PY) -m tests $(ARGS)

check: check-format check-lint check-types check-templates check-migrations check-translations check-deploy check-dependencies check-licences check-audit ## everything below

check-format: venv-dev ## ruff's format
	@$(PY) -m ruff format --check .

check-lint: venv-dev ## ruff's rules, those of bandit included
	@$(PY) -m ruff check .

check-types: venv-dev ## mypy, strict
	@$(PY) -m tests.production mypy

check-templates: venv-dev ## djlint's rules
	@$(PY) -m djlint --quiet --lint templates

check-migrations: venv-dev ## models and migrations agree; none stops the release before or locks it out
	@$(PY) -m tests.production migrations
	@$(PY) -m tests.database.lint

check-translations: venv-dev ## every text is in every language, and the compiled catalogues are those of the texts
	@$(PY) -m tests.messages check

messages: venv-dev ## collect the texts into the catalogues and compile them (needs GNU gettext)
	@$(PY) -m tests.messages collect

check-deploy: venv-dev ## Django's deployment checks under production settings, on SQLite and PostgreSQL
	@$(PY) -m tests.production deploy

check-dependencies: venv-dev ## no dependency unused, undeclared or borrowed from another one
	@$(PY) -m tests.dependencies unused

check-licences: venv-dev ## every run-time dependency has a licence that pyproject.toml allows
	@$(PY) -m tests.dependencies check-licences

check-audit: venv-dev ## known holes in both requirement locks (STRICT_AUDIT=1: they fail)
	@$(PY) -m tests.dependencies audit

licences: venv-dev ## the run-time dependencies with their licences
	@$(PY) -m tests.dependencies licences

sbom: venv-dev ## what the portal runs with, as CycloneDX: var/sbom.cdx.json
	@$(PY) -m tests.dependencies sbom

verify-cloud: venv-dev ## what the tests assert of the sandbox, against a real Huawei Cloud account given by environment
	@$(PY) -m tests.contract

soak: venv-dev ## kills, faults and fuzz for half an hour; prints its figures
	@$(PY) -m tests.soak

bench: venv-dev ## the benchmark; also writes var/bench/
	@$(PY) -m tests.bench

lock: venv-dev ## resolve pyproject.toml anew into the requirement locks
	@$(PY) -m uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes --no-build \
		--no-emit-index-url -o requirements.txt
	@$(PY) -m uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes --no-build \
		--no-emit-index-url --group dev -c requirements.txt -o requirements-dev.txt

# The environment is up to date when its stamp holds the lock's checksum: time stamps would lie after a checkout, and
# an installation that was cut short leaves no stamp.
venv-run: venv-made
	@sum="$$(cksum < requirements.txt)"; \
	if test "$$sum" != "$$(cat .venv/locked-run 2>/dev/null)"; then \
		echo "Installing what the portal needs into .venv …"; \
		$(INSTALL) -r requirements.txt && echo "$$sum" > .venv/locked-run; \
	fi

venv-dev: venv-made
	@sum="$$(cksum < requirements-dev.txt)"; \
	if test "$$sum" != "$$(cat .venv/locked-dev 2>/dev/null)"; then \
		echo "Installing what the portal and its checks need into .venv …"; \
		$(INSTALL) -r requirements-dev.txt && echo "$$sum" > .venv/locked-dev \
			&& cksum < requirements.txt > .venv/locked-run; \
	fi

venv-made:
	@test -x $(PY) && $(PY) -c '' 2>/dev/null && exit 0; \
	found=; problem="Python 3.11 or newer is needed, and neither python3.11 nor python3 is here."; \
	for python in $$PYTHON python3.11 python3 python3.13 python3.12 python; do \
		version="$$($$python -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" || continue; \
		if ! $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then \
			problem="Python 3.11 or newer is needed; $$python is $$version. Set PYTHON to another one."; \
		elif ! $$python -c 'import venv, ensurepip' 2>/dev/null; then \
			problem="$$python lacks the module venv; install it (on Debian and Ubuntu: python$$version-venv)."; \
		else found=$$python; break; fi; \
	done; \
	if test -z "$$found"; then echo "$$problem" >&2; exit 1; fi; \
	rm -rf .venv && $$found -m venv .venv

.PHONY: help demo test check check-format check-lint check-types check-templates check-migrations \
	check-translations check-deploy check-dependencies check-licences check-audit licences messages sbom verify-cloud soak bench lock venv-run venv-dev venv-made
