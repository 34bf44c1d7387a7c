# `make` prints this list. Everything is installed into .venv from the two lock files.
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
AZURITE := $(if $(shell command -v npm),.venv/azurite)
export ORT_DISABLE_TELEMETRY := 1

help: ## print what each target does
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

.venv/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv

.venv/runtime: requirements.txt .venv/pyvenv.cfg
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt && touch $@

.venv/dev: requirements-dev.txt requirements-schema.txt pyproject.toml .venv/runtime
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-schema.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable . && touch $@

serve: .venv/runtime ## serve the sample models on port 5001 (SERVE_* variables are passed on)
	@SERVE_REGISTRY="$${SERVE_REGISTRY:-file://$(CURDIR)/sample_model}" exec $(BIN)/python -m app serve

.venv/azurite: Makefile .venv/pyvenv.cfg
	npm install --silent --no-audit --no-fund --no-save --no-package-lock --prefix .venv/azurite azurite@3.37.0 && touch $@ \
		|| echo "no storage emulator: the tests of Azure are skipped"

.venv/inference-server: tests/differential/requirements.txt .venv/pyvenv.cfg
	$(BIN)/python -m venv --clear $@
	$@/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $< && touch $@ \
		|| { rm -rf $@; echo "no server to compare with: the tests that ask it are skipped"; }

test: .venv/dev $(AZURITE) .venv/inference-server ## run the tests (those of Azure want npm, for a storage emulator)
	$(BIN)/python -m pytest -n 2 $(ARGS)

test-long: .venv/dev $(AZURITE) .venv/inference-server ## run the tests that take tens of seconds
	$(BIN)/python -m pytest -m long $(ARGS)

test-full: .venv/dev $(AZURITE) ## run the tests at their full sizes, which takes minutes
	$(BIN)/python -m pytest -m full $(ARGS)

image: .venv/dev $(AZURITE) ## build the container images, print their sizes and test them (wants docker, on Linux)
	$(BIN)/python -m pytest tests/image -m "image and not full" $(ARGS)

check: .venv/dev ## lint, format, types and import layers
	$(BIN)/ruff check && $(BIN)/ruff format --check && $(BIN)/mypy && $(BIN)/lint-imports

chart: .venv/dev ## lint, package and test the Helm chart; its README gets its table of values
	PATH="$(BIN):$$PATH" && helm lint --strict charts/aml-serve && helm package --destination build charts/aml-serve
	$(BIN)/python -m charts.readme && $(BIN)/python -m pytest -n 2 -m chart tests/chart $(ARGS)

fix: .venv/dev ## format, and mend what the linter can mend
	$(BIN)/ruff check --fix; $(BIN)/ruff format

bench: .venv/dev ## measure side by side with other servers (PEERS=mlserver WORK=W2 for one pair)
	$(BIN)/python -m bench.side_by_side $(if $(PEERS),--peers $(PEERS)) $(if $(WORK),--workloads $(WORK)) $(ARGS)

bench-start: .venv/dev ## measure start-up time and memory with the claim model
	$(BIN)/python bench/startup.py

bench-scale: .venv/dev ## measure what a second worker process brings
	$(BIN)/python -m bench.scale $(ARGS)

bench-many: .venv/dev ## measure what 10 to 10,000 names cost that are served on demand
	$(BIN)/python -m bench.many_models $(ARGS)

bench-sharding: .venv/dev ## simulate what consistent hashing by model name brings
	$(BIN)/python -m bench.sharding

bench-scripts: .venv/dev .venv/inference-server ## measure scoring scripts beside azureml-inference-server-http
	$(BIN)/python -m bench.scripts $(ARGS)

bench-check: .venv/dev ## compare the instructions of each phase with those known (valgrind)
	$(BIN)/python -m bench.micro --instructions $(ARGS)

bench-accelerate: .venv/dev ## measure what one row gains by the ONNX form of scikit-learn models
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m bench.accelerate

models: .venv/dev ## train the sample models again
	$(BIN)/python sample_model/train_churn.py && $(BIN)/python sample_model/train_claim_classifier.py \
		&& $(BIN)/python sample_model/train_dog_breeds.py

lock: .venv/dev ## resolve requirements.txt and requirements-dev.txt anew from pyproject.toml
	$(BIN)/uv pip compile $(LOCK) pyproject.toml -o requirements.txt
	$(BIN)/uv pip compile $(LOCK) pyproject.toml --all-extras --group dev -c requirements.txt -o requirements-dev.txt
	$(BIN)/uv pip compile $(LOCK) pyproject.toml --group gpu --no-emit-package onnxruntime -c requirements.txt -o requirements-gpu.txt
	for name in build slim; do $(BIN)/uv pip compile $(LOCK) --group $$name -c requirements-dev.txt -o requirements-$$name.txt || exit; done
	for name in $(EXTRAS); do $(BIN)/python -c '$(EXTRA)' $$name | $(BIN)/uv pip compile $(LOCK) - -c requirements-dev.txt -o requirements-$$name.txt || exit; done
	printf '%s\n' $(SCHEMA) | $(BIN)/uv pip compile $(LOCK) --no-deps - -c requirements-dev.txt -o requirements-schema.txt
	sed -nE 's/^((numpy|pandas)==[^\\]*).*/\1/p' requirements.txt | $(BIN)/uv pip compile $(LOCK) tests/differential/requirements.in -c - -o tests/differential/requirements.txt

EXTRAS := accelerate boosters mlflow opencensus
SCHEMA := inference-schema python-dateutil pytz six wrapt
EXTRA := import sys, tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"][sys.argv[1]], sep="\n")
LOCK := --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-emit-find-links --custom-compile-command "make lock" $(UPGRADE)

.PHONY: help serve test test-long test-full image check chart fix bench bench-start bench-scale bench-many bench-sharding bench-check bench-accelerate models lock
