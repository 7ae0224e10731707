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
LOCATIONS := $(patsubst code_locations/%/pyproject.toml,%,$(wildcard code_locations/*/pyproject.toml))

# What builds the images, and their names.
BUILDER ?= $(shell command -v podman || command -v docker || echo podman)
REGISTRY ?= localhost
VERSION ?= $(shell git describe --always --dirty)
IMAGES ?= system $(LOCATIONS)
BASE ?= docker.io/library/python:3.11-slim-bookworm
BUILD = $(BUILDER) build --build-arg BASE=$(BASE) $(BUILD_OPTIONS)
MEMBERS := dagster-clt-queued-run-coordinator $(LOCATIONS)
COMPILE := $(RUN)/uv pip compile --quiet --universal --generate-hashes --no-strip-extras --python-version 3.10 \
	--custom-compile-command "make lock" $(addprefix --no-emit-package ,$(MEMBERS))

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The environment is made anew when the lock or a member's metadata changes. `dg` looks for it in each project.
$(VENV)/.made: requirements/build.txt requirements/dev.txt coordinator/pyproject.toml $(wildcard code_locations/*/pyproject.toml)
	@echo "preparing the environment in $(VENV)"
	@test -x $(RUN)/python || $(PYTHON) -m venv $(VENV)
	@$(RUN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/build.txt
	@$(RUN)/uv pip install --quiet --compile-bytecode --python $(RUN)/python --require-hashes --requirement requirements/dev.txt
	@$(RUN)/uv pip install --quiet --python $(RUN)/python --no-deps $(addprefix --editable ,coordinator $(wildcard code_locations/*))
	@for location in $(LOCATIONS); do \
		test -e code_locations/$$location/.venv || ln -sfn ../../.venv code_locations/$$location/.venv; \
	done
	@touch $@

.PHONY: setup
setup: $(VENV)/.made ## Prepare the environment in .venv

# Starts inside DAGSTER_HOME, because Dagster warns if the current folder holds another dagster.yaml.
# NEW_ORDERS=on turns on the sensor of code-location-b, so that new orders bring invoices.
.PHONY: dev
dev: setup ## Run Dagster with both code locations in the browser; PORT=3000
	@mkdir -p "$(STATE)"
	@ln -sf "$(CURDIR)/dagster.yaml" "$(STATE)/dagster.yaml"
	@echo "Dagster will be at http://127.0.0.1:$(PORT); Ctrl-C stops it. Its state is in $(STATE)."
	@cd "$(STATE)" && DAGSTER_HOME="$(STATE)" NEW_ORDERS=on PYTHONWARNINGS='ignore:Function `dev_command`' \
		exec "$(CURDIR)/$(RUN)/dagster" dev --workspace "$(CURDIR)/workspace.yaml" --host 127.0.0.1 --port $(PORT)

.PHONY: demo
demo: setup ## Launch a burst of runs and watch the limits hold
	@$(RUN)/python -m demo

.PHONY: demo-fair
demo-fair: setup ## Compare how long a late code location waits, first come first served and fair; ARGS="--picture fair.png"
	@$(RUN)/python -m demo.fair $(ARGS)

.PHONY: pictures
pictures: setup ## Take the docs' screenshots again (needs Debian's packages chromium and prometheus)
	@$(RUN)/uv pip install --quiet --python $(RUN)/python --require-hashes --requirement requirements/pictures.txt
	@$(RUN)/python -m scripts.pictures

# The site's builder; links to files of the repository lead to REPO_URL=https://..., where it is hosted.
$(VENV)/.docs: $(VENV)/.made requirements/docs.txt
	@$(RUN)/uv pip install --quiet --python $(RUN)/python --require-hashes --requirement requirements/docs.txt
	@touch $@

.PHONY: docs
docs: export NO_MKDOCS_2_WARNING := 1
docs: $(VENV)/.docs ## Build the documentation site into site/, and check its links
	$(RUN)/mkdocs build --strict

.PHONY: docs-serve
docs-serve: export NO_MKDOCS_2_WARNING := 1
docs-serve: $(VENV)/.docs ## Show the documentation site while you write; PORT=3000
	$(RUN)/mkdocs serve --dev-addr 127.0.0.1:$(PORT)

.PHONY: lock
lock: ## Upgrade the locked packages to their newest allowed versions, with hashes
	@test -x $(RUN)/uv || { $(PYTHON) -m venv $(VENV) && $(RUN)/python -m pip install --quiet uv; }
	$(COMPILE) --group pyproject.toml:build --output-file requirements/build.txt
	$(COMPILE) --group pyproject.toml:dev $(wildcard code_locations/*/pyproject.toml) --output-file requirements/dev.txt
	$(COMPILE) --group pyproject.toml:docs --constraint requirements/dev.txt --output-file requirements/docs.txt
	$(COMPILE) --group pyproject.toml:pictures --constraint requirements/dev.txt --output-file requirements/pictures.txt
	$(COMPILE) --group pyproject.toml:system --constraint requirements/dev.txt --output-file requirements/system.txt
	for location in $(LOCATIONS); do $(MAKE) --no-print-directory lock-location LOCATION=$$location; done

.PHONY: lock-location
lock-location: # One code location, from the packages that are locked already
	$(COMPILE) code_locations/$(LOCATION)/pyproject.toml --constraint requirements/dev.txt \
		--output-file code_locations/$(LOCATION)/requirements.txt

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

# LOCATIONS names what isn't there yet, so no other target may see it.
.PHONY: adopt
adopt: export ORG := $(ORG)
adopt: export REGISTRY := $(REGISTRY)
adopt: export LOCATIONS := $(LOCATIONS)
adopt: ## Make a fresh clone your own: ORG=acme REGISTRY=registry.acme.example/dagster LOCATIONS="billing shop"
	@MAKEFLAGS= $(MAKE) --no-print-directory setup
	@MAKEFLAGS= $(RUN)/python -m scripts.adopt --org "$$ORG" --registry "$$REGISTRY" --locations "$$LOCATIONS"

# A code location is checked by itself: it shares no code with the others.
.PHONY: lint
lint: setup ## Check style, types, Helm values and workflows
	$(RUN)/ruff check
	$(RUN)/ruff format --check
	$(RUN)/mypy
	for location in $(LOCATIONS); do MYPYPATH=code_locations/$$location/src $(RUN)/mypy code_locations/$$location; done
	$(RUN)/dagster-clt check --values deploy/values.yaml
	for overlay in deploy/test-cluster.yaml $(wildcard deploy/overlays/*/values.yaml); do \
		$(RUN)/dagster-clt check --values deploy/values.yaml --values $$overlay || exit 1; \
	done
	$(RUN)/shellcheck .ci/* $(wildcard deploy/overlays/*/post-renderer deploy/overlays/*/after-helm)
	$(RUN)/zizmor --quiet --offline .github

# actionlint is a Go program; Go's module proxy has its checksum.
.PHONY: lint-workflows
lint-workflows: setup ## Check the GitHub workflows with actionlint too (needs Go)
	PATH="$(CURDIR)/$(RUN):$$PATH" go run github.com/rhysd/actionlint/cmd/actionlint@v1.7.12

.PHONY: test
# In the order of the folders: the longest files begin before the many short ones in tests/unit.
test: setup ## Run every test that needs no cluster
	$(RUN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder --ignore-glob 'tests/e2e*' --ignore tests/overlays --ignore tests/compose --ignore tests/faults --ignore tests/dagsters_own --ignore tests/migration --ignore tests/images

.PHONY: test-coordinator
test-coordinator: setup ## Run the coordinator's tests with Dagster's own daemon steps; `make test` runs them too
	$(RUN)/pytest --numprocesses 2 --dist loadfile tests/in_process

.PHONY: versions
versions: setup ## Run the tests on older Dagster versions, and Dagster's own tests with our coordinator
	$(RUN)/nox

.PHONY: bench
bench: setup ## Compare the cost with Dagster's own coordinator and the one on PyPI; ARGS="tick --rounds 3"
	@$(RUN)/python -m benchmarks $(ARGS)

.PHONY: bench-cluster
bench-cluster: export REGISTRY := $(REGISTRY)
bench-cluster: export VERSION := $(VERSION)
bench-cluster: setup ## Measure idle slots on a live cluster; takes what `make e2e` takes; ARGS="--rounds 3"
	@$(RUN)/python -m benchmarks.cluster $(ARGS)

.PHONY: bench-sizing
bench-sizing: setup ## Measure what each program of a deployment takes, idle and per launch, start and run; ARGS="--seconds 20"
	@$(RUN)/python -m benchmarks.sizing $(ARGS)

.PHONY: bench-sizing-cluster
bench-sizing-cluster: export REGISTRY := $(REGISTRY)
bench-sizing-cluster: export VERSION := $(VERSION)
bench-sizing-cluster: setup ## Measure launches and starts on a live cluster; takes what `make e2e` takes; ARGS="--cpu 500m 250m"
	@$(RUN)/python -m benchmarks.cluster_sizing $(ARGS)

# Each needs the machine to itself.
.PHONY: faults
faults: setup ## Break one thing at a time under a flood of runs (15 minutes); SEED=N repeats a failure
	$(RUN)/pytest tests/faults $(if $(SEED),--seed $(SEED))

.PHONY: soak
soak: setup ## Break random things for MINUTES=30; SEED=N repeats a failure
	$(RUN)/python -m tests.faults.soak --minutes $(or $(MINUTES),30) $(if $(SEED),--seed $(SEED))

.PHONY: two-daemons
two-daemons: setup ## Show what happens to the limits if two daemons run by mistake
	$(RUN)/python -m tests.faults.two_daemons

.PHONY: wheel
wheel: setup ## Build the coordinator's wheel into dist/
	$(RUN)/uv build --quiet --wheel coordinator --out-dir dist

.PHONY: list-images
list-images: ## List the names of the images, one per line
	@printf '%s\n' $(IMAGES)

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

# Podman or docker, whichever builds the images. .env holds the secret and the images' names, and is not in git.
COMPOSE ?= $(if $(findstring podman,$(BUILDER)),$(CURDIR)/$(RUN)/podman-compose,docker compose)

.PHONY: compose-up
compose-up: setup images ## Run Dagster on this machine in containers, without Kubernetes (REGISTRY, VERSION, COMPOSE)
	@touch .env && chmod 600 .env
	@grep -q '^POSTGRES_PASSWORD=.' .env || echo "POSTGRES_PASSWORD=$$(od -An -N16 -tx1 /dev/urandom | tr -d ' ')" >> .env
	@sed -i.before -e '/^REGISTRY=/d' -e '/^VERSION=/d' .env && rm .env.before
	@printf 'REGISTRY=%s\nVERSION=%s\n' '$(REGISTRY)' '$(VERSION)' >> .env
	$(COMPOSE) up --detach
	@echo "Dagster will be at http://127.0.0.1:$$(sed -n 's/^PORT=//p' .env | grep . || echo 3000) in a minute or so."

.PHONY: compose-down
compose-down: setup ## Stop what `make compose-up` started; the database and the results stay
	$(COMPOSE) down

.PHONY: compose-test
compose-test: export REGISTRY := $(REGISTRY)
compose-test: export VERSION := $(VERSION)
compose-test: export COMPOSE := $(COMPOSE)
compose-test: setup images ## Test compose.yaml with podman or docker
	$(RUN)/pytest tests/compose --exitfirst --timeout 900 --log-cli-level INFO

# CHART is a folder, a .tgz archive, or a name such as dagster/dagster from a repository added to Helm.
CHART ?= dagster/dagster
RELEASE ?= dagster
NAMESPACE ?= dagster
VALUES ?= deploy/values.yaml
# Folders of deploy/overlays: Helm values that go after VALUES, and manifests that must be there before the release.
OVERLAYS ?=
# A program that Helm pipes the release through; Helm takes one.
POST_RENDERER = $(firstword $(wildcard $(OVERLAYS:%=deploy/overlays/%/post-renderer)))
DEPLOYED_VALUES = $(addprefix --values ,$(VALUES) $(wildcard $(OVERLAYS:%=deploy/overlays/%/values.yaml)))

.PHONY: deploy
deploy: setup ## Check the values, then install or upgrade the release (CHART, VALUES, OVERLAYS, NAMESPACE, RELEASE, HELM_OPTIONS)
	@for overlay in $(OVERLAYS); do \
		test -d deploy/overlays/$$overlay || { echo "there is no overlay $$overlay: see deploy/overlays/README.md" >&2; exit 1; }; \
	done
	$(RUN)/dagster-clt check $(DEPLOYED_VALUES) $(if $(wildcard $(CHART)),--chart $(CHART))
	kubectl get namespace $(NAMESPACE) --output name >/dev/null 2>&1 || kubectl create namespace $(NAMESPACE)
	for manifests in $(wildcard $(OVERLAYS:%=deploy/overlays/%/manifests)); do \
		kubectl --namespace $(NAMESPACE) apply --filename $$manifests; \
	done
	for manifests in $(wildcard $(OVERLAYS:%=deploy/overlays/%/namespaces)); do kubectl apply --filename $$manifests; done
	helm upgrade --install $(RELEASE) $(CHART) --namespace $(NAMESPACE) \
		$(DEPLOYED_VALUES) $(addprefix --post-renderer ./,$(POST_RENDERER)) --wait --timeout 10m $(HELM_OPTIONS)
	for program in $(wildcard $(OVERLAYS:%=deploy/overlays/%/after-helm)); do $$program $(NAMESPACE); done

.PHONY: release-values
release-values: setup ## Write the values with the images of REGISTRY and VERSION to dist/values.yaml
	@mkdir -p dist
	$(RUN)/python -m scripts.release_values $(VALUES) --registry $(REGISTRY) --tag $(VERSION) --output dist/values.yaml

LOCATION_CHART ?= dagster/dagster-user-deployments

.PHONY: deploy-location
deploy-location: setup ## Install or upgrade one code location as a release of its own (LOCATION, VERSION, REGISTRY, NAMESPACE)
	@mkdir -p dist
	$(RUN)/python -m scripts.release_values $(VALUES) --registry $(REGISTRY) --tag $(VERSION) \
		--location "$(LOCATION)" --output "dist/$(LOCATION).yaml"
	helm upgrade --install "$(LOCATION)" $(LOCATION_CHART) --namespace $(NAMESPACE) --values "dist/$(LOCATION).yaml" \
		--wait --timeout 10m $(HELM_OPTIONS)

.PHONY: monitoring
monitoring: setup ## Generate the Prometheus operator's files in deploy/monitoring from the plain ones
	$(RUN)/python -m scripts.operator_files

# NAME-stock is the image NAME without the coordinator package.
.PHONY: e2e-images
e2e-images: images ## Build the images, and the stock images that `make e2e` compares them with
	for image in system $(LOCATIONS); do \
		$(BUILDER) build --quiet --file tests/e2e/Dockerfile --build-arg IMAGE=$(REGISTRY)/$$image:$(VERSION) \
			--tag $(REGISTRY)/$$image-stock:$(VERSION) tests/e2e; \
	done

.PHONY: e2e
e2e: export REGISTRY := $(REGISTRY)
e2e: export VERSION := $(VERSION)
e2e: export BUILDER := $(BUILDER)
e2e: export BASE := $(BASE)
e2e: setup ## Test the images and a deployment on a cluster (KUBECONFIG, CHART, REGISTRY, VERSION)
	$(RUN)/pytest tests/images tests/overlays tests/e2e --exitfirst --timeout 900 --log-cli-level INFO

.PHONY: e2e-overlays-images
e2e-overlays-images: images ## Build the images, and those that `make e2e-overlays` needs besides
	for image in pgbouncer s3; do \
		$(BUILDER) build --quiet --file tests/e2e_overlays/$$image.Dockerfile --build-arg BASE=$(BASE) $(BUILD_OPTIONS) \
			--tag $(REGISTRY)/$$image:$(VERSION) tests/e2e_overlays; \
	done
	for image in system $(LOCATIONS); do \
		$(BUILDER) build --quiet --file tests/e2e_overlays/run-logs.Dockerfile --build-arg IMAGE=$(REGISTRY)/$$image:$(VERSION) \
			$(BUILD_OPTIONS) --tag $(REGISTRY)/$$image-run-logs:$(VERSION) tests/e2e_overlays; \
	done

# Each part takes longer than a change should wait for; docs/ has what they showed.
.PHONY: e2e-overlays
e2e-overlays: export REGISTRY := $(REGISTRY)
e2e-overlays: export VERSION := $(VERSION)
e2e-overlays: export BUILDER := $(BUILDER)
e2e-overlays: export BASE := $(BASE)
e2e-overlays: setup ## Try the overlays of deploy/overlays on a cluster (takes what `make e2e` takes)
	$(RUN)/pytest tests/e2e_overlays --timeout 900 --log-cli-level INFO

# The images with an older Dagster, tagged VERSION-dagster-DAGSTER, that `make e2e-upgrade` begins with.
DAGSTER ?= 1.12.19

.PHONY: e2e-upgrade-images
e2e-upgrade-images: export DAGSTER := $(DAGSTER)
e2e-upgrade-images: export REGISTRY := $(REGISTRY)
e2e-upgrade-images: export VERSION := $(VERSION)
e2e-upgrade-images: export BUILDER := $(BUILDER)
e2e-upgrade-images: export BASE := $(BASE)
e2e-upgrade-images: export IMAGES := $(IMAGES)
e2e-upgrade-images: images ## Build the images, also with another Dagster and an older package, for `make e2e-upgrade`
	tests/e2e_upgrade/build-images
	tests/e2e_upgrade/build-package-images

.PHONY: e2e-upgrade
e2e-upgrade: export DAGSTER := $(DAGSTER)
e2e-upgrade: export REGISTRY := $(REGISTRY)
e2e-upgrade: export VERSION := $(VERSION)
e2e-upgrade: setup ## Upgrade a release from DAGSTER=1.12.19 to the locked one and back, under load
	$(RUN)/pytest tests/e2e_upgrade --timeout 1200 --log-cli-level INFO

.PHONY: e2e-restore
e2e-restore: export REGISTRY := $(REGISTRY)
e2e-restore: export VERSION := $(VERSION)
e2e-restore: setup ## Back up a deployment's database under load and restore it (takes what `make e2e` takes)
	$(RUN)/pytest tests/e2e_restore --timeout 1200 --log-cli-level INFO

# The same images under a second tag, to which a rollout upgrades.
.PHONY: e2e-rollout-images
e2e-rollout-images: images ## Build the images, and give them a second tag VERSION-next for a rollout
	for image in $(IMAGES); do $(BUILDER) tag $(REGISTRY)/$$image:$(VERSION) $(REGISTRY)/$$image:$(VERSION)-next; done

.PHONY: e2e-rollout
e2e-rollout: export REGISTRY := $(REGISTRY)
e2e-rollout: export VERSION := $(VERSION)
e2e-rollout: setup ## Upgrade a release under load on a cluster (takes what `make e2e` takes, and NEXT_VERSION)
	$(RUN)/pytest tests/e2e_rollout --timeout 900 --log-cli-level INFO

.PHONY: bench-rollout
bench-rollout: export REGISTRY := $(REGISTRY)
bench-rollout: export VERSION := $(VERSION)
bench-rollout: setup ## Measure an upgrade on a live cluster second by second; ARGS="--output rollout.json"
	@$(RUN)/python -m benchmarks.rollout $(ARGS)

.PHONY: clean
clean: ## Remove the environment, the trial's state and the tools' caches
	find code_locations -maxdepth 2 -name .venv -type l -delete
	rm -rf $(VENV) "$(STATE)" .cache artifacts dist site .mypy_cache .pytest_cache .ruff_cache .hypothesis .nox
