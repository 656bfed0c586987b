# The project's commands. CI runs the same ones.

# uv creates the environment. If the machine has no uv, the Makefile installs one into .uv/.
UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
# The first of these commands that is Python 3.11, 3.12 or 3.13.
PYTHON := $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$python && break; done)
# uv must not download Python from another server, because everything comes from the package registry.
SYNC = UV_PYTHON_DOWNLOADS=never $(UV) sync --quiet --frozen --extra cli --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')"
RUN := .venv/bin/python -m

.PHONY: help serve scale test quick check fresh docs train bench audit image sbom policy clean
help:
	@echo 'make serve   start the service on http://127.0.0.1:8000'
	@echo 'make scale   start the service on Ray Serve: a local cluster that adds replicas under load'
	@echo 'make test    run all checks and tests (ARGS="tests/app ..." runs some; about 10 minutes on two cores)'
	@echo 'make quick   run what a change usually needs: without TensorFlow, Ray and a browser'
	@echo 'make check   run lint and types only'
	@echo 'make fresh   install the wheel with the newest packages that pyproject.toml allows, and let it read a digit'
	@echo 'make docs    build the documentation as a site in reports/site; a broken link fails'
	@echo 'make train   train the lecture'"'"'s network and publish it (ARGS="--epochs 10 ...")'
	@echo 'make bench   measure requests and pictures per second, compared with other servers (needs wrk and 10 minutes)'
	@echo 'make audit   ask osv.dev for vulnerabilities of all locked packages'
	@echo 'make image   build the Docker image `digits`'
	@echo 'make sbom    list what the image `digits` contains in reports/sbom.cdx.json (IMAGE=... for another image)'
	@echo 'make policy  check the Kubernetes manifests with Checkov (needs kustomize and PyPI)'
	@echo 'make clean   remove environments, caches and what the checks wrote; your models, exports and evaluations stay'
	@echo 'make .venv/.serve, .train, .scale, .parquet, .grpc or .tracing   only install the packages for one of these'

serve: .venv/.serve
	@exec $(RUN) app

scale: .venv/.scale
	@exec $(RUN) deploy.ray.local

train: .venv/.train
	@$(RUN) cli train $(ARGS)

# One process runs a whole file, so that its tests share their services. Ray's clusters use all cores and have their own
# timeouts, so their tests run alone.
PYTEST = $(RUN) pytest --numprocesses=auto --dist=loadfile --no-loadscope-reorder
export COVERAGE_FILE = $(CURDIR)/reports/coverage/data
WITH_COVERAGE = --cov --cov-report= --cov-fail-under=0
# Tests start more than a hundred processes. Without bytecode, each of them would compile all its packages anew: the import of
# TensorFlow then takes 10 s of processor time instead of 4.
test quick: export PYTHONDONTWRITEBYTECODE =
test: .venv/.dev check
	@tests/system-packages.sh
ifdef ARGS
	@$(RUN) pytest $(ARGS)
else
	@rm -rf reports/coverage && mkdir -p reports/coverage
	@$(PYTEST) $(WITH_COVERAGE) -m 'not ray'
	@$(RUN) pytest $(WITH_COVERAGE) --cov-append -m ray tests/deploy/ray
	@rm -f $(COVERAGE_FILE).* # of processes that tests killed
	@$(RUN) coverage report
endif

quick: check
	@$(PYTEST) tests/digits tests/app tests/cli tests/test_architecture.py -m 'not browser and not slow and not training'

check: .venv/.check
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .
	@$(RUN) mypy

# CI ignores its failure in a pull request, because a package that somebody else releases must not fail a change of ours.
fresh: | .python $(UV)
	@$(PYTHON) tests/fresh.py $(UV)

docs: .venv/.check
	@$(RUN) zensical build --strict

bench: .venv/.dev
	@$(RUN) benchmarks.speed.requests $(ARGS)

# uv exits with 1 for a known vulnerability, and with a higher code for any other failure, usually a missing network. Such a
# failure is reported in one line.
audit: | .python $(UV)
	@mkdir -p reports
	@$(UV) audit --frozen --preview-features audit-command $(ARGS) 2>reports/audit.log; code=$$?; \
	if [ $$code -gt 1 ]; then \
		echo "digits: could not check for vulnerabilities: $$(sed 's/^ *[a-z]*: //' reports/audit.log | paste -sd ';')" >&2; \
	else cat reports/audit.log >&2; fi; exit $$code

IMAGE = digits
image:
	@docker build --tag $(IMAGE) --build-arg REVISION="$$(git rev-parse HEAD 2>/dev/null)" $(ARGS) .

sbom:
	@mkdir -p reports
	@docker image inspect $(IMAGE) >/dev/null 2>&1 || docker pull --quiet $(IMAGE) >/dev/null
	@docker run --rm --interactive --network none --volume '$(CURDIR)/uv.lock:/lock:ro' --entrypoint python $(IMAGE) - /lock \
		"$$(docker image inspect --format '{{index .Config.Labels "org.opencontainers.image.version"}}' $(IMAGE))" \
		"$$(docker image inspect --format '{{range .RepoDigests}}{{println .}}{{else}}{{.Id}}{{end}}' $(IMAGE))" < deploy/sbom.py > reports/sbom.cdx.json
	@echo 'digits: reports/sbom.cdx.json lists what the image $(IMAGE) contains'

# Four rules are left out. The operator's own kustomization sets the namespace (21) and the image's digest (43). Version
# tags need no pull at each start (15). With the component `openshift`, the cluster chooses the user id (40).
policy: .venv/.dev
	@rm -rf reports/manifests
	@$(RUN) tests.deploy.kubernetes.manifests reports/manifests
	@$(UV) tool run --quiet checkov@3.3.30 --directory reports/manifests --framework kubernetes --compact --quiet --skip-download \
		--skip-check CKV_K8S_15,CKV_K8S_21,CKV_K8S_40,CKV_K8S_43 $(ARGS)

# These empty files record what the environment contains. While they are newer than the lock file, make installs
# nothing and needs no network.
.venv/.serve: uv.lock pyproject.toml | .python $(UV)
	@echo 'digits: creating .venv (up to a minute on the first run)'
	@$(SYNC) --no-default-groups --inexact
	@touch $@

.venv/.train: uv.lock pyproject.toml | .python $(UV)
	@echo 'digits: creating .venv with TensorFlow (some minutes on the first run)'
	@$(SYNC) --no-default-groups --extra train --inexact
	@touch $@ .venv/.serve

.venv/.scale: uv.lock pyproject.toml | .python $(UV)
	@echo 'digits: creating .venv with Ray (a minute or two on the first run)'
	@$(SYNC) --no-default-groups --extra scale --inexact
	@touch $@ .venv/.serve

.venv/.parquet: uv.lock pyproject.toml | .python $(UV)
	@echo 'digits: creating .venv with pyarrow (up to a minute on the first run)'
	@$(SYNC) --no-default-groups --extra parquet --inexact
	@touch $@ .venv/.serve

.venv/.grpc: uv.lock pyproject.toml | .python $(UV)
	@echo 'digits: creating .venv with gRPC (up to a minute on the first run)'
	@$(SYNC) --no-default-groups --extra grpc --inexact
	@touch $@ .venv/.serve

.venv/.tracing: uv.lock pyproject.toml | .python $(UV)
	@echo 'digits: creating .venv with OpenTelemetry (up to a minute on the first run)'
	@$(SYNC) --no-default-groups --extra tracing --inexact
	@touch $@ .venv/.serve

.venv/.check: uv.lock pyproject.toml | .python $(UV)
	@echo 'digits: creating .venv with the test tools (a minute or two on the first run)'
	@$(SYNC) --inexact
	@touch $@ .venv/.grpc .venv/.tracing .venv/.serve

.venv/.dev: uv.lock pyproject.toml | .python $(UV)
	@echo 'digits: creating .venv with TensorFlow, Ray and the test tools (some minutes on the first run)'
	@$(SYNC) --extra train --extra scale
	@touch $@ .venv/.train .venv/.scale .venv/.check .venv/.grpc .venv/.tracing .venv/.serve

.PHONY: .python
.python:
	@test -n "$(PYTHON)" || { echo 'digits: needs Python 3.11, 3.12 or 3.13 (TensorFlow has no wheels for later ones), found '"$$(python3 --version 2>&1)" >&2; exit 1; }

.uv/bin/uv: uv.txt
	@$(PYTHON) -m venv .uv || { rm -rf .uv; echo 'digits: needs the venv module of Python; on Debian: apt install python3-venv' >&2; exit 1; }
	@.uv/bin/pip install --quiet --disable-pip-version-check --require-hashes --requirement uv.txt || { rm -rf .uv; exit 1; }

clean:
	rm -rf .venv .uv .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis reports/coverage reports/site reports/manifests
