# The commands of this repository; `make help` lists them.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin
STATE := $(CURDIR)/.state
PORT ?= 3000
PAGE_PORT ?= $(shell expr $(PORT) + 1)
LOCATIONS := $(patsubst code_locations/%/pyproject.toml,%,$(wildcard code_locations/*/pyproject.toml))

# Where the coordinator's package is: a folder with its source, or with its wheel.
COORDINATOR := coordinator

# What builds the images, and their names.
BUILDER ?= $(shell command -v podman || command -v docker || echo podman)
REGISTRY ?= localhost
VERSION ?= $(shell git describe --always --dirty)
IMAGES ?= system $(LOCATIONS)
BASE ?= docker.io/library/python:3.11-slim-bookworm
BUILD = $(BUILDER) build --build-arg BASE=$(BASE) --build-arg COORDINATOR=$(COORDINATOR) $(BUILD_OPTIONS)

# The members of the workspace, which are installed as they are here; all other packages are locked.
SOURCES := $(patsubst %/pyproject.toml,%,$(wildcard $(COORDINATOR)/pyproject.toml tools/pyproject.toml code_locations/*/pyproject.toml))
COMPILE := $(RUN)/uv pip compile --quiet --universal --generate-hashes --no-strip-extras --python-version 3.10 \
	$(if $(UPGRADE),--upgrade) --custom-compile-command "make lock" \
	$(addprefix --no-emit-package ,dagster-clt-queued-run-coordinator dagster-deploy-tools $(LOCATIONS))

# A line `##@ Group` begins a group of the list, and `## text` behind a target tells what it does.
.PHONY: help
help:
	@awk 'BEGIN {FS = ":.*## "} /^##@ / {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z0-9-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Start

# The environment is made anew when the lock or a member's metadata changes. `dg` looks for it in each project.
$(VENV)/.made: requirements/build.txt requirements/dev.txt $(addsuffix /pyproject.toml,$(SOURCES)) $(wildcard $(COORDINATOR)/*.whl)
	@echo "preparing the environment in $(VENV)"
	@test -x $(RUN)/python || $(PYTHON) -m venv $(VENV)
	@$(RUN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/build.txt
	@$(RUN)/uv pip install --quiet --compile-bytecode --python $(RUN)/python --require-hashes --requirement requirements/dev.txt
	@$(RUN)/uv pip install --quiet --python $(RUN)/python --no-deps $(wildcard $(COORDINATOR)/*.whl) $(addprefix --editable ,$(SOURCES))
	@for location in $(LOCATIONS); do \
		test -e code_locations/$$location/.venv || ln -sfn ../../.venv code_locations/$$location/.venv; \
	done
	@touch $@

.PHONY: setup
setup: $(VENV)/.made ## Prepare the environment in .venv; the other commands do it by themselves

# The tables are made first: programs that start together on an empty folder would make them at the same time.
# Starts inside DAGSTER_HOME, because Dagster warns if the current folder holds another dagster.yaml.
# only in the template: begin
# NEW_ORDERS=on turns on the sensor of code-location-b, so that new orders bring invoices.
dev: export NEW_ORDERS := on
# only in the template: end
.PHONY: dev
dev: setup ## Run Dagster with all code locations; PORT=3000, PAGE_PORT=3001
	@mkdir -p "$(STATE)"
	@ln -sf "$(CURDIR)/dagster.yaml" "$(CURDIR)/workspace.yaml" "$(STATE)/"
	@echo "Dagster will be at http://127.0.0.1:$(PORT); Ctrl-C stops it. Its state is in $(STATE)."
	@cd "$(STATE)" && export DAGSTER_HOME="$(STATE)" PYTHONWARNINGS='ignore:Function `dev_command`' \
		PATH="$(CURDIR)/$(RUN):$$PATH"; \
		test -e history/runs.db || python -c "import dagster; dagster.DagsterInstance.get().dispose()"; \
		dagster-clt page --port $(PAGE_PORT) --dagster-url http://127.0.0.1:$(PORT) & \
		trap "kill $$! 2>/dev/null" EXIT; \
		dagster dev --workspace "$(CURDIR)/workspace.yaml" --host 127.0.0.1 --port $(PORT)

# only in the template: begin
.PHONY: demo
demo: setup ## Launch a burst of runs and watch the limits hold
	@PYTHONPATH=$(COORDINATOR) $(RUN)/python -m demo

.PHONY: demo-fair
demo-fair: setup ## Compare how long a late code location waits, with fifo and with fair
	@PYTHONPATH=$(COORDINATOR) $(RUN)/python -m demo.fair $(ARGS)

##@ Make it yours

# LOCATIONS names what isn't there yet, so no other target may see it.
.PHONY: adopt
adopt: export ORG := $(ORG)
adopt: export REGISTRY := $(REGISTRY)
adopt: export LOCATIONS := $(LOCATIONS)
adopt: export COORDINATOR := source
adopt: ## Make a fresh clone your own (ORG, REGISTRY, LOCATIONS, COORDINATOR=wheel)
	@unset COORDINATOR LOCATIONS; MAKEFLAGS= $(MAKE) --no-print-directory setup
	@MAKEFLAGS= $(RUN)/python -m scripts.adopt --org "$$ORG" --registry "$$REGISTRY" --locations "$$LOCATIONS" \
		--coordinator "$$COORDINATOR"

# only in the template: end
##@ Code locations

# NAME goes through the environment, where a shell doesn't read it.
.PHONY: new-location
new-location: export NAME := $(NAME)
new-location: setup ## Add a code location: NAME=billing
	@$(RUN)/python -m scripts.new_location "$$NAME"
	@$(MAKE) --no-print-directory setup

.PHONY: remove-location
remove-location: export NAME := $(NAME)
remove-location: setup ## Remove a code location: NAME=billing
	@$(RUN)/python -m scripts.remove_location "$$NAME"

# With LOCATION only that code location is locked, from the packages that are locked already.
.PHONY: lock
lock: ## Lock new dependencies, with hashes; what is locked keeps its version
	@test -x $(RUN)/uv || { $(PYTHON) -m venv $(VENV) && $(RUN)/python -m pip install --quiet uv; }
ifndef LOCATION
	$(COMPILE) --group pyproject.toml:build --output-file requirements/build.txt
	$(COMPILE) --group pyproject.toml:dev $(addsuffix /pyproject.toml,$(SOURCES)) --output-file requirements/dev.txt
	for group in $(patsubst requirements/%.txt,%,$(filter-out %/build.txt %/dev.txt,$(wildcard requirements/*.txt))); do \
		$(COMPILE) --group pyproject.toml:$$group --constraint requirements/dev.txt \
			--output-file requirements/$$group.txt; \
	done
endif
	for location in $(or $(LOCATION),$(LOCATIONS)); do \
		$(COMPILE) code_locations/$$location/pyproject.toml \
			--constraint requirements/dev.txt --output-file code_locations/$$location/requirements.txt; \
	done

.PHONY: upgrade
upgrade: ## Lock the newest version of every package
	@$(MAKE) --no-print-directory lock UPGRADE=yes

##@ Check

SCRIPTS := deploy/overlays/*/post-renderer deploy/overlays/*/after-helm deploy/previews/preview deploy/local-cluster
# only in the template: begin
SCRIPTS += .ci/* tests/e2e/*/build-*
# only in the template: end

# Each house by itself, and each code location: they share no code.
.PHONY: lint
lint: setup ## Check style, types, Helm values and workflows
	$(RUN)/ruff check
	$(RUN)/ruff format --check
	$(RUN)/mypy
# only with the coordinator's source: begin
	$(MAKE) --no-print-directory -C coordinator types
# only with the coordinator's source: end
	for location in $(LOCATIONS); do MYPYPATH=code_locations/$$location/src $(RUN)/mypy code_locations/$$location; done
	$(RUN)/dagster-clt check --values deploy/values.yaml
	for overlay in deploy/test-cluster.yaml $(wildcard deploy/overlays/*/values.yaml); do \
		$(RUN)/dagster-clt check --values deploy/values.yaml --values $$overlay || exit 1; \
	done
	$(RUN)/shellcheck $(wildcard $(SCRIPTS))
	$(RUN)/zizmor --quiet --offline .github

PYTEST := $(RUN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder
# only in the template: begin
PYTEST += --ignore tests/e2e
# only in the template: end

.PHONY: test
test: setup ## Test the limits, the code locations and what is deployed (a minute or two)
	$(PYTEST) --ignore tests/system

.PHONY: test-all
test-all: setup ## Run every test that needs no cluster
	$(PYTEST)
# only with the coordinator's source: begin
	$(MAKE) --no-print-directory -C coordinator test
# only with the coordinator's source: end

# The site's builder; links to files of the repository lead to REPO_URL=https://..., where it is hosted.
$(VENV)/.docs: $(VENV)/.made requirements/docs.txt
	@$(RUN)/uv pip install --quiet --python $(RUN)/python --require-hashes --requirement requirements/docs.txt
	@touch $@

.PHONY: docs
docs: export NO_MKDOCS_2_WARNING := 1
docs: $(VENV)/.docs ## Build the documentation site into site/; SERVE=yes shows it instead
	$(RUN)/mkdocs $(if $(SERVE),serve --dev-addr 127.0.0.1:$(PORT),build --strict)

##@ Deploy

.PHONY: images
images: ## Build the images (IMAGES, VERSION, REGISTRY, BASE, BUILDER, BUILD_OPTIONS)
	for image in $(IMAGES); do \
		target="code-location --build-arg LOCATION=$$image"; \
		if [ "$$image" = system ]; then target=system; fi; \
		$(BUILD) --target $$target --tag $(REGISTRY)/$$image:$(VERSION) .; \
	done

.PHONY: push
push: ## Push the images to REGISTRY (IMAGES, VERSION)
	for image in $(IMAGES); do $(BUILDER) push $(REGISTRY)/$$image:$(VERSION); done

# What the workflows deploy: dist/values.yaml, which is VALUES with the images of REGISTRY and VERSION.
# With LOCATION these are the values of that code location alone, for a release of its own; with PREVIEW=pr-12-billing too,
# for a preview of that name.
.PHONY: release-values
release-values: setup ## Write the values with the images of a release (REGISTRY, VERSION, LOCATION)
	@mkdir -p dist
	$(RUN)/python -m scripts.release_values $(VALUES) --registry $(REGISTRY) --tag $(VERSION) \
		$(if $(LOCATION),--location "$(LOCATION)") $(if $(PREVIEW),--preview "$(PREVIEW)") \
		--output "dist/$(or $(PREVIEW),$(LOCATION),values).yaml"

# CHART is a folder, a .tgz archive, or a name such as dagster/dagster from a repository added to Helm; CHART_VERSION is
# the version of one by name. It is pulled first, so that the values are checked with the chart that is installed.
CHART ?= dagster/dagster
LOCATION_CHART ?= dagster/dagster-user-deployments
CHART_VERSION ?=
DEPLOYED_CHART = $(if $(LOCATION),$(LOCATION_CHART),$(CHART))
CHART_FILE = $(or $(wildcard $(DEPLOYED_CHART)),dist/chart/*.tgz)
RELEASE ?= dagster
NAMESPACE ?= dagster
VALUES ?= deploy/values.yaml
# Folders of deploy/overlays: Helm values that go after VALUES, and manifests that must be there before the release.
OVERLAYS ?=
# The programs that Helm pipes the release through. Helm takes one, so of several a pipe is made.
POST_RENDERERS = $(addprefix ./,$(wildcard $(OVERLAYS:%=deploy/overlays/%/post-renderer)))
space := $(subst ,, )
DEPLOYED_VALUES = $(addprefix --values ,$(VALUES) $(wildcard $(OVERLAYS:%=deploy/overlays/%/values.yaml)))

# With LOCATION only that code location, as a release of its own, with its image of REGISTRY and VERSION.
.PHONY: deploy
deploy: setup $(if $(LOCATION),release-values) ## Check, then install or upgrade (CHART, VALUES, OVERLAYS, LOCATION)
	@case " $(HELM_OPTIONS)" in *" --version"*) echo "give the chart's version as CHART_VERSION=..., not in" \
		"HELM_OPTIONS: the values are checked with that version" >&2; exit 1;; esac
	$(if $(wildcard $(DEPLOYED_CHART)),,rm -rf dist/chart && helm pull $(DEPLOYED_CHART) --destination dist/chart \
		$(CHART_VERSION:%=--version %))
ifdef LOCATION
	$(RUN)/dagster-clt check --values "dist/$(LOCATION).yaml" --chart $(CHART_FILE)
	helm upgrade --install "$(LOCATION)" $(CHART_FILE) --namespace $(NAMESPACE) --values "dist/$(LOCATION).yaml" \
		--wait --timeout 10m $(HELM_OPTIONS)
else
	@for overlay in $(OVERLAYS); do \
		test -d deploy/overlays/$$overlay || { echo "there is no overlay $$overlay: see deploy/overlays/README.md" >&2; exit 1; }; \
	done
	$(RUN)/dagster-clt check $(DEPLOYED_VALUES) --chart $(CHART_FILE)
	kubectl get namespace $(NAMESPACE) --output name >/dev/null 2>&1 || kubectl create namespace $(NAMESPACE)
	for manifests in $(wildcard $(OVERLAYS:%=deploy/overlays/%/manifests)); do \
		kubectl --namespace $(NAMESPACE) apply --filename $$manifests; \
	done
	for manifests in $(wildcard $(OVERLAYS:%=deploy/overlays/%/namespaces)); do kubectl apply --filename $$manifests; done
	@mkdir -p dist && printf '#!/bin/bash -e\nset -o pipefail\n%s\n' '$(subst $(space), | ,$(POST_RENDERERS))' > dist/post-renderer && chmod +x dist/post-renderer
	helm upgrade --install $(RELEASE) $(CHART_FILE) --namespace $(NAMESPACE) \
		$(DEPLOYED_VALUES) $(if $(POST_RENDERERS),--post-renderer ./dist/post-renderer) --wait --timeout 10m $(HELM_OPTIONS)
	for program in $(wildcard $(OVERLAYS:%=deploy/overlays/%/after-helm)); do $$program $(NAMESPACE); done
endif

# Podman or docker, whichever builds the images. .env holds the secret and the images' names, and is not in git.
COMPOSE ?= $(if $(findstring podman,$(BUILDER)),$(CURDIR)/$(RUN)/podman-compose,docker compose)

.PHONY: compose-up
compose-up: setup images ## Run Dagster on this machine in containers (REGISTRY, VERSION, COMPOSE)
	@touch .env && chmod 600 .env
	@grep -q '^POSTGRES_PASSWORD=.' .env || echo "POSTGRES_PASSWORD=$$(od -An -N16 -tx1 /dev/urandom | tr -d ' ')" >> .env
	@sed -i.before -e '/^REGISTRY=/d' -e '/^VERSION=/d' .env && rm .env.before
	@printf 'REGISTRY=%s\nVERSION=%s\n' '$(REGISTRY)' '$(VERSION)' >> .env
	$(COMPOSE) up --detach
	@echo "Dagster will be at http://127.0.0.1:$$(sed -n 's/^PORT=//p' .env | grep . || echo 3000) in a minute or so."
	@echo "The page of its queue: http://127.0.0.1:$$(sed -n 's/^PAGE_PORT=//p' .env | grep . || echo 3001)/"
	@echo "To stop it: $(COMPOSE) down. The database and the results stay."
# only in the template: begin

##@ Test on a cluster

# What tests are about, as pytest's -m takes it: install, overlays, restore, rollout, standby, upgrade, compose, images.
MARKERS ?= install or images
# The older Dagster that an upgrade begins with; the sample code locations need 1.11.
DAGSTER ?= 1.12.19

.PHONY: e2e-images
e2e-images: export DAGSTER := $(DAGSTER)
e2e-images: export REGISTRY := $(REGISTRY)
e2e-images: export VERSION := $(VERSION)
e2e-images: export BUILDER := $(BUILDER)
e2e-images: export BASE := $(BASE)
e2e-images: export BUILD_OPTIONS := $(BUILD_OPTIONS)
e2e-images: export IMAGES := $(IMAGES)
e2e-images: images ## Build the images, and those that MARKERS="install or images" needs besides
	for marker in $(MARKERS); do if [ -x tests/e2e/$$marker/build-images ]; then tests/e2e/$$marker/build-images; fi; done

.PHONY: e2e
e2e: export DAGSTER := $(DAGSTER)
e2e: export REGISTRY := $(REGISTRY)
e2e: export VERSION := $(VERSION)
e2e: export BUILDER := $(BUILDER)
e2e: export BASE := $(BASE)
e2e: export COMPOSE := $(COMPOSE)
e2e: setup ## Test a deployment (KUBECONFIG, CHART, VERSION, MARKERS="restore or ...")
	CHART='$(CHART)' $(RUN)/pytest tests/overlays tests/e2e -m "not e2e or $(MARKERS)" --exitfirst --timeout 1200 --log-cli-level INFO
# only in the template: end
