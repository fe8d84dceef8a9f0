# Deskplane: `make help` lists what there is to do.
# All work is in tools/, which needs nothing but Python 3.11 or newer; see CONTRIBUTING.md.

PORT ?= 8080
DOCS_PORT ?= 8000
PYTHON_RUN := sh tools/python

.DEFAULT_GOAL := help
.PHONY: help run test binary molecule bench bench-scale soak fuzz lint format generate docs docs-serve lock clean coverage-table

help: ## say what there is to do
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 20

run: ## a desk on 127.0.0.1:8080 with the example playbooks applied, until Ctrl-C (PORT=8081: on another port)
	@$(PYTHON_RUN) tools/run.py --port '$(PORT)'

test: ## everything that CI checks (ONLY=step: one step; `tools/python tools/ci.py --list` names them)
	@$(PYTHON_RUN) tools/ci.py $(foreach step,$(ONLY),--only '$(step)')

lint: ## the quick gates alone: ruff, mypy, import-linter, rules of the house
	@$(PYTHON_RUN) tools/ci.py --only ruff-check --only ruff-format --only types --only imports --only house

binary: ## the server as one executable file, in dist/, with its SHA-256 and its bill of materials (BINARY_VERSION=1.2.3: called so)
	@$(PYTHON_RUN) tools/dev.py binary --version '$(BINARY_VERSION)'

molecule: ## try the roles on machines with a booted systemd, as root (SCENARIO=default: one; TASK=converge: one step)
	@$(PYTHON_RUN) tools/molecule.py $(SCENARIO) $(if $(TASK),--task '$(TASK)')

format: ## format the Python code
	@$(PYTHON_RUN) tools/dev.py format

generate: ## write what is generated from the server's schemas: modules, action files, documentation
	@$(PYTHON_RUN) tools/dev.py generate

docs: ## build the documentation's site, dist/docs, and check it
	@$(PYTHON_RUN) tools/dev.py docs

docs-serve: ## the same, and show it on 127.0.0.1:8000 until Ctrl-C (DOCS_PORT=8001: on another port)
	@$(PYTHON_RUN) tools/dev.py docs --serve --port '$(DOCS_PORT)'

coverage-table: ## which test shows which feature, and which features no test shows (AREA=tickets, MISSING=1)
	@$(PYTHON_RUN) tools/coverage_table.py --area '$(AREA)' $(if $(MISSING),--missing)

bench: ## measure against the reference skeleton, and the Ansible costs (docs/performance.md)
	@$(PYTHON_RUN) tools/dev.py bench

bench-scale: ## a desk of a million tickets beside one of ten thousand, on both databases (TICKETS=100000 for less)
	@$(PYTHON_RUN) tools/dev.py bench-scale --tickets '$(or $(TICKETS),1000000)'

soak: ## what takes too long for `make test`: its longest tests, and many more made-up requests (EXAMPLES=100)
	@$(PYTHON_RUN) tools/dev.py soak --examples '$(or $(EXAMPLES),100)'

fuzz: ## made-up mails and documents, led by what they reach (FUZZ_SECONDS=300 for each; needs network once)
	@$(PYTHON_RUN) tools/dev.py fuzz --seconds '$(or $(FUZZ_SECONDS),300)'

lock: ## compile the requirements anew, to the newest versions that fit
	@$(PYTHON_RUN) tools/dev.py lock

clean: ## remove environments, caches and build results (a desk's data in var/ stays)
	@$(PYTHON_RUN) tools/dev.py clean
