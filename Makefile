# Two commands: `make demo` and `make test`. Both set up what is missing and do nothing when all is there.
FITS := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))
# The first that runs and fits: a version manager's stand-in may be on the path and still fail.
PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$name -c '$(FITS)' >/dev/null 2>&1 && { echo $$name; break; }; done)
PORT ?= 8501
VENV := .venv
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
CPU_INDEX := https://download.pytorch.org/whl/cpu

.PHONY: demo ray-demo test check clean python

demo: $(VENV)/.ready
	@exec $(RUN) -m backend demo --serve --port $(PORT)

# The same study on a Ray cluster of this machine, which places every run.
ray-demo: $(VENV)/.ready
	@$(PIP) --requirement requirements-ray.txt
	@exec $(RUN) -m backend demo --engine ray --engine-option address=local

# SLOW=1 runs the tests of minutes too.
test: check
	$(RUN) -m pytest -n 2 --dist loadfile $(if $(SLOW),,-m "not slow")

check: $(VENV)/.ready-dev
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

python:
	@test -x $(RUN) || $(or $(PYTHON),false) -c '$(FITS)' 2>/dev/null || { \
		echo "Lethe needs Python 3.11 to 3.14, which its pinned packages support;" \
			"found $$($(or $(PYTHON),python3) --version 2>&1 | head -n 1); name another one, as in make PYTHON=python3.12." >&2; exit 2; }

$(VENV)/.ready: requirements.txt constraints.txt | python
	@test -x $(RUN) || { echo "Setting up in $(VENV) ..."; $(PYTHON) -m venv $(VENV); }
	@if ! command -v nvidia-smi >/dev/null 2>&1; then \
		echo "No NVIDIA driver: trying PyTorch's CPU build ..."; \
		$(PIP) --index-url $(CPU_INDEX) --timeout 5 --retries 0 --no-deps "torch==$$(sed -n 's/^torch==//p' constraints.txt)" >/dev/null 2>&1 \
			|| echo "PyTorch's CPU index does not answer; taking the default one."; \
	fi
	@echo "Installing packages ..."
	@$(PIP) --requirement requirements.txt
	@touch $@

$(VENV)/.ready-dev: requirements-dev.txt $(VENV)/.ready
	@$(PIP) --requirement requirements-dev.txt
	@touch $@

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
