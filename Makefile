# Two commands: `make demo` and `make test`. Both set up what is missing and do nothing when all is there.
PYTHON ?= $(firstword $(foreach name,python3.13 python3.12 python3.11 python3,$(if $(shell command -v $(name) 2>/dev/null),$(name))))
PORT ?= 8501
VENV := .venv
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
CPU_INDEX := https://download.pytorch.org/whl/cpu

.PHONY: demo test check clean python

demo: $(VENV)/.ready
	@exec $(RUN) -m backend demo --serve --port $(PORT)

test: check
	$(RUN) -m pytest -n 2 --dist loadfile

check: $(VENV)/.ready-dev
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

python:
	@$(if $(PYTHON),$(PYTHON),false) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info[:2] <= (3, 14) else "Lethe needs Python 3.11 to 3.14, which its pinned packages support; this is " + sys.version.split()[0] + ": choose another one with PYTHON=python3.12, say.")' \
		|| { $(if $(PYTHON),,echo "Lethe needs Python 3.11 to 3.14; no python3 was found." >&2;) exit 2; }

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
