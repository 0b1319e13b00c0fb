# Everything starts here: `make demo` to see it work, `make test` and `make check` to change it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
STUBS := protos/seqstream/v1/generation_pb2.py

.DEFAULT_GOAL := help
.PHONY: help install demo test check format bench pictures clean

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(INSTALLED) $(STUBS)  ## Make .venv and install everything into it

$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "seqstream needs Python 3.11 or newer; set PYTHON=/path/to/it")'
	@echo "Installing into $(VENV) (PyTorch is the largest part; a few minutes the first time) ..."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[cpu,train,export,dev]'
	@touch $@

$(STUBS): protos/seqstream/v1/*.proto | $(INSTALLED)
	$(BIN)/python -m protos

# The GPU build of ONNX Runtime in an environment of its own, without the CUDA libraries: both builds install the same
# import package. The tests show there that it runs on a machine without a GPU, and that --device cuda is refused.
.venv-gpu/.installed: pyproject.toml | $(INSTALLED)
	$(PYTHON) -m venv .venv-gpu
	.venv-gpu/bin/pip install --quiet --disable-pip-version-check --editable . 'onnxruntime-gpu==1.31.1'
	@touch $@

demo: install  ## Train two small models, export, serve and stream from them (about 6 minutes)
	PATH="$(CURDIR)/$(BIN):$$PATH" bash examples/demo.sh

test: install .venv-gpu/.installed  ## Run every test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest

check: install  ## Lint, format, types, protos
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/buf lint protos

format: install  ## Format the code and mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: install  ## Measure speed and memory; figures go to docs/log.md
	$(BIN)/python -m benchmarks

pictures: install  ## Train all families and draw the pictures of docs/ (about 10 minutes)
	$(BIN)/python -m training compare --minutes-per-model 0.5 --out docs
	$(BIN)/python -m training gradients --out docs

clean:  ## Remove what was made: environments, caches, generated code
	rm -rf $(VENV) .venv-gpu .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info build
	find . -name __pycache__ -prune -exec rm -rf {} +
	rm -f protos/seqstream/v1/*_pb2*.py*
