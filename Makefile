# Jeton: everything a developer types. `make help` lists it.

SHELL   := bash
GO      ?= go

# What the binary says about itself; without a git tag it says what the source says.
TAG      := $(shell git describe --tags --dirty 2>/dev/null | sed 's/^v//')
REVISION := $(shell git rev-parse --short=12 HEAD 2>/dev/null)
BUILT    := $(shell git log -1 --format=%cI 2>/dev/null)
SETVAR   := -X jeton/internal/version.
LDFLAGS  := -s -w \
	$(if $(TAG),$(SETVAR)own=$(TAG)) \
	$(if $(REVISION),$(SETVAR)revision=$(REVISION)) \
	$(if $(BUILT),$(SETVAR)buildDate=$(BUILT))

# With -race Pebble also checks its own invariants and is slower by a hundred times, so that run
# is -short (tests of large sizes look at testing.Short) and a second one is in full.
# The race detector needs a C compiler; test/install/all says so when it is left out.
RACE := $(if $(shell command -v gcc 2>/dev/null),-race)

# On CI no suite may be left out: a test that lacks its tool fails instead of skipping.
ifeq ($(CI),true)
export JETON_REQUIRE_ALL := 1
endif

# Where tests find the server under test.
export JETON_BIN := $(CURDIR)/bin/jeton
# Debian's own Python, as its python3-hvac is invisible to any other that is on the PATH.
export JETON_PYTHON ?= $(or $(wildcard /usr/bin/python3),python3)

FUZZTIME ?= 30s
# In `make test` each target gets so many inputs, some seconds' worth. A count and not a time: where
# time runs out in the middle of an input, Go calls the target failed.
FUZZCOUNT ?= 1500x

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show what can be made
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build bin/jeton, server and command line in one
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/jeton ./cmd/jeton

.PHONY: run
run: build ## Build, and start a dev server on http://127.0.0.1:8200 (all in memory, root token "root")
	bin/jeton server -dev -dev-root-token-id=root -dev-listen-address=127.0.0.1:8200

.PHONY: test
test: set-up lint build ## Everything: set-up, lint, unit tests with -race, end-to-end tests, some fuzzing
	$(GO) test $(RACE) -short -timeout 10m ./internal/... ./cmd/...
	$(GO) test -timeout 5m ./internal/... ./cmd/...
	$(GO) test -count=1 -timeout 10m ./test/...
	$(MAKE) --no-print-directory fuzz FUZZTIME=$(FUZZCOUNT)

.PHONY: set-up
set-up: ## Install what tests need, where that is possible; say what is left out elsewhere
	test/install/all

.PHONY: unit
unit: ## Unit tests only, without -race: the quick loop
	$(GO) test ./internal/... ./cmd/...

.PHONY: e2e
e2e: build ## End-to-end tests only, against bin/jeton
	$(GO) test -count=1 -timeout 10m ./test/...

.PHONY: ad
ad: build ## LDAP logins against an Active Directory domain controller (Samba; as root, not in `make test`)
	test/install/ad
	JETON_AD=1 $(GO) test -count=1 -timeout 10m -run '^TestActiveDirectory$$' ./internal/auth/ldap ./test/docs

.PHONY: lint
lint: ## gofmt, go vet, staticcheck
	@unformatted=$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go')); \
	if [ -n "$$unformatted" ]; then echo "not gofmt-ed:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME (30s) each
	@set -euo pipefail; \
	for dir in $$(git ls-files -co --exclude-standard '*_test.go' | xargs grep -l '^func Fuzz' | xargs -n1 dirname | sort -u); do \
		for target in $$(grep -ho '^func Fuzz[A-Za-z0-9_]*' $$dir/*_test.go | cut -d' ' -f2); do \
			echo "== $$dir $$target"; \
			$(GO) test ./$$dir -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) | grep -v '^fuzz: elapsed'; \
		done; \
	done

.PHONY: bench
bench: build ## Measure bin/jeton beside a bare server, also with a million tokens (10 minutes; docs/performance.md)
	$(GO) run ./test/bench -sizes 10000,100000,1000000

.PHONY: bench-quick
bench-quick: build ## The same within a minute
	$(GO) run ./test/bench -time 400ms -sizes 10000 -settle 2s

SOAK ?= 5m

.PHONY: soak
soak: build ## Mixed load with churn for SOAK (5m): memory, disk, latency and files must level off
	$(GO) run ./test/bench -soak $(SOAK)

.PHONY: overload
overload: build ## Drive bin/jeton at twice its capacity: the rest must be shed, and recovery immediate
	$(GO) run ./test/bench -overload

.PHONY: bench-packages
bench-packages: ## Run the benchmarks of the packages
	$(GO) test -run '^$$' -bench . -benchmem ./internal/...

.PHONY: clean
clean: ## Remove what was built
	rm -rf bin
