# Everything a newcomer needs. Each target does the set-up where it is missing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
NATIVE := CMakeLists.txt $(wildcard native/*.h native/*.cpp native/*/* src/gated/cells/*.py)

NEEDED := gated needs Linux, Python 3.11 or newer with venv, a C++20 compiler and make.

DEMO_RUN := runs/weather
DEMO_OPTIONS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo test long long-runs long-memory bench bench-all bench-forecast profile sanitize arm lint format wheel docs notebooks \
	explorer browser postgres emulators clean

help: ## Show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

setup: $(INSTALLED) ## Create .venv, build the native core, install everything

# Not isolated, so that the build tools are downloaded once and rebuilds are quick.
$(INSTALLED): pyproject.toml constraints.txt $(NATIVE)
	@{ $(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
		&& command -v $(firstword $(CXX)) \
		&& echo 'int main() { return 0; }' | $(CXX) -std=c++20 -x c++ -fsyntax-only -; } \
		> /dev/null 2>&1 || { echo "$(NEEDED)" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group build
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-build-isolation \
		--editable '.[all]' --group dev
	touch $@

demo: $(INSTALLED) ## Forecast the weather of three airports: score table and report
	rm -rf $(DEMO_RUN)
	$(BIN)/gated fit forecast "$$($(BIN)/python examples/data.py weather)" \
		--time time_hour --target temp --series origin --horizon 24 --test 28d \
		--out $(DEMO_RUN) $(DEMO_OPTIONS)

# What builds the explorer's page, and what looks for barriers in it.
PAGE_TOOLS := web/explorer/node_modules/installed

$(PAGE_TOOLS): web/explorer/package.json web/explorer/package-lock.json
	@command -v npm > /dev/null || { echo "npm is not installed: the page is not built anew"; exit 0; }; \
	(cd web/explorer && npm ci --no-audit --no-fund && touch node_modules/installed) \
	|| echo "npm ci failed: the page is not built anew"

test: $(INSTALLED) $(PAGE_TOOLS) ## Run the tests
	$(BIN)/python -m pytest -n auto --dist worksteal

long: long-runs long-memory ## All that takes long

long-runs: $(INSTALLED) ## Damage, full disks and kills, a thousand times each: some half an hour
	GATED_TESTS=long $(BIN)/python -m pytest -n auto --dist worksteal \
		tests/cli/test_damage.py tests/cli/test_killed_runs.py tests/serve/live/test_kills.py

bench: $(INSTALLED) ## Speed against every peer that is installed: a subset, in two minutes
	$(BIN)/python -m benchmarks --quick

bench-all: $(INSTALLED) ## The same in full, with all peers, into both pages on speed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group bench
	$(BIN)/python -m benchmarks --json benchmarks/results.jsonl \
		--page docs/en/benchmarks.md docs/zh/benchmarks.md --plot docs/images/benchmarks.png

bench-forecast: $(INSTALLED) ## Forecasts beside other libraries, whatever is not there yet, into both pages: half an hour
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group bench
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.forecast
	$(BIN)/python -m benchmarks.forecast --page

FASHION := build/fashion

# Whatever takes hours and goes on where it was interrupted.
long-memory: $(INSTALLED) ## Long memory, six cells on four problems, into both pages on memory: eight hours
	test -d $(FASHION) || { mkdir -p $(FASHION) && cd $(FASHION) && \
	apt-get download dataset-fashion-mnist && dpkg -x dataset-fashion-mnist_*.deb .; }
	GATED_FASHION_MNIST=$(FASHION)/usr/share/datasets/fashion-mnist $(BIN)/python -m benchmarks.memory
	$(BIN)/python -m benchmarks.memory --page

# Another build of the core, for those who look into it: beside the one that is installed.
BUILD := $(BIN)/cmake -G Ninja -DPython_EXECUTABLE=$(CURDIR)/$(BIN)/python \
	-DCMAKE_MAKE_PROGRAM=$(CURDIR)/$(BIN)/ninja -Dnanobind_DIR=$$($(BIN)/python -m nanobind --cmake_dir) -S .
SANITIZED := $(BUILD) -DCMAKE_BUILD_TYPE=RelWithDebInfo

profile: $(INSTALLED) ## Where the time of a training step goes, into both pages on speed
	$(BUILD) -DCMAKE_BUILD_TYPE=Release -DGATED_PROFILE=ON -B build/profile > build/profile.log
	$(BIN)/ninja -C build/profile > build/profile.log
	GATED_NATIVE=$$(ls build/profile/_native*.so) $(BIN)/python -m benchmarks.profile \
		--page docs/en/benchmarks.md docs/zh/benchmarks.md

# The sanitizer's own library comes first; what Python and NumPy leave behind is not ours.
IN_SANITIZER = GATED_NATIVE=$$(ls build/$(1)/_native*.so) \
	LD_PRELOAD="$$(gcc -print-file-name=lib$(2).so) $$(gcc -print-file-name=libstdc++.so)"

ADDRESS := ASAN_OPTIONS=detect_leaks=0
THREAD := TSAN_OPTIONS=halt_on_error=1:exitcode=66 \
	$$(setarch --addr-no-randomize true 2> /dev/null && echo setarch --addr-no-randomize)
# Some systems lay out memory as a sanitizer cannot have it.
NOT_HERE := echo "this sanitizer cannot start here: skipped"; exit 0;

sanitize: $(INSTALLED) ## Native tests under the address, undefined-behaviour and thread sanitizers
	$(SANITIZED) -B build/address -DGATED_SANITIZE=address,undefined > build/address.log
	$(BIN)/ninja -C build/address > build/address.log
	$(call IN_SANITIZER,address,asan) $(ADDRESS) $(BIN)/python -c pass || { $(NOT_HERE) }; \
	$(call IN_SANITIZER,address,asan) $(ADDRESS) GATED_HYPOTHESIS=few \
		$(BIN)/python -m pytest tests/core/test_ops.py tests/core/test_narrow.py tests/core/test_stream.py \
		-k "not avx512_on_avx2 and not allocates" -n auto --dist worksteal -x --capture=sys
	$(SANITIZED) -B build/thread -DGATED_SANITIZE=thread > build/thread.log
	$(BIN)/ninja -C build/thread > build/thread.log
	$(call IN_SANITIZER,thread,tsan) $(THREAD) $(BIN)/python -c pass || { $(NOT_HERE) }; \
	$(call IN_SANITIZER,thread,tsan) $(THREAD) $(BIN)/python tests/races.py

ARM := aarch64-linux-gnu-g++
EMULATOR := $(firstword $(shell command -v qemu-aarch64-static qemu-aarch64))
SELFCHECK := tests/native/selfcheck.cpp native/dispatch.cpp native/plan.cpp native/processor.cpp \
	native/schedule.cpp native/threads.cpp \
	native/targets/baseline.cpp

NARROW_CHECKED := pairs int8

# Definitions are plain Python: no set-up is needed to write them in C++.
PYTHON_OF_CELLS := PYTHONPATH=src $(PYTHON)

arm: ## Compile the core for Arm and, where there is an emulator, check its kernels
	@command -v $(ARM) > /dev/null || { echo "$(ARM) is not installed: skipped"; exit 0; }; \
	arm="$(ARM) -std=c++20 -O2 -ffp-contract=fast -Wno-psabi -static -pthread -Inative -Ibuild/generated"; \
	$(PYTHON_OF_CELLS) -m gated.cells.emit_cpp build/generated && $$arm $(SELFCHECK) -o build/selfcheck && \
	for products in $(NARROW_CHECKED); do \
		$$arm -DGATED_TARGET=baseline -DGATED_VECTOR_BYTES=16 -DGATED_REGISTERS=32 \
			tests/native/$$products.cpp native/processor.cpp -o build/$$products || exit; \
	done && \
	if [ -n "$(EMULATOR)" ]; then for program in selfcheck $(NARROW_CHECKED); do \
		$(EMULATOR) build/$$program || exit; done; \
	else echo "no qemu-aarch64: compiled, not run"; fi

lint: $(INSTALLED) ## Linters, type checker, import contract
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(INSTALLED) ## Put the code into its standard form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

wheel: $(INSTALLED) ## Build the wheel and the source distribution into dist/
	$(BIN)/python -m build --no-isolation
	@$(BIN)/python -m auditwheel show dist/gated-*.whl 2> /dev/null \
		|| echo "with the package auditwheel, this would say which systems the wheel runs on"

DOCS_INSTALLED := $(VENV)/installed-docs

$(DOCS_INSTALLED): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group docs
	touch $@

# A site for each language, so that search finds pages in that language; strict: warnings are errors.
docs: $(DOCS_INSTALLED) ## Build the documentation in both languages into build/site
	export NO_MKDOCS_2_WARNING=1; $(BIN)/mkdocs build --quiet & english=$$!; \
	$(BIN)/mkdocs build --quiet --config-file mkdocs.zh.yml; chinese=$$?; \
	wait $$english && exit $$chinese
	cp web/site/index.html build/site/en/404.html build/site/
	$(BIN)/gated explore --out build/site/explorer

notebooks: $(DOCS_INSTALLED) ## Run the notebooks anew and keep their outputs
	$(BIN)/python web/site/run_notebooks.py

explorer: $(PAGE_TOOLS) ## Build the explorer's page from web/explorer (needs Node)
	$(BIN)/python -m gated.cells.document rnn_tanh rnn_relu gru lstm > web/explorer/src/cells.json
	cd web/explorer && npm run build

browser: ## Install Chromium, in which the tests open the explorer (Debian and Ubuntu, as root)
	@command -v chromium > /dev/null || { apt-get update -qq && \
	apt-get install -y -qq --no-install-recommends chromium fonts-noto-cjk > /dev/null; }

postgres: ## Install PostgreSQL, which servers share in the tests (Debian and Ubuntu, as root)
	@command -v initdb > /dev/null || ls /usr/lib/postgresql/*/bin/initdb > /dev/null 2>&1 || { apt-get update -qq && \
	apt-get install -y -qq --no-install-recommends postgresql > /dev/null; }

emulators: $(INSTALLED) ## Install what builds and runs C for Arm and WebAssembly (Debian and Ubuntu, as root)
	@command -v arm-none-eabi-gcc > /dev/null && command -v aarch64-linux-gnu-gcc > /dev/null && \
	command -v qemu-aarch64 > /dev/null && command -v qemu-system-arm > /dev/null || { apt-get update -qq && \
	apt-get install -y -qq --no-install-recommends gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user \
	gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm > /dev/null; }
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group cross

clean: ## Remove what was built (runs/ is kept)
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache
