.DEFAULT_GOAL := help
.PHONY: help setup test test-real test-chart drills check build programs release generate quickstart env bench chaos fuzz fuzz-short update-golden clean

# Checks, tests and the shipped binaries are compiled alike, so that they share the build cache.
STATIC   := CGO_ENABLED=0 GOFLAGS="$$(go env GOFLAGS) -trimpath"
SERVICES := $(STATIC) go run ./internal/testkit/cmd/services
# Benches, chaos and test-real run these binaries and build none.
PROGRAMS := TEST_PROGRAMS="$(CURDIR)/bin"
FUZZTIME ?= 30s
# Both parts of the chaos suite, unless one is named; faults are those of the deliveries, unless the other part is named.
CHAOS_RUN = $(or $(CHAOS_PART),$(if $(CHAOS_FAULTS),delivery))
BENCH    ?= deliver latency neighbour through api scan

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## find or install what the tests need (as root on Debian; elsewhere it says what to install)
	@scripts/setup

test: setup ## run all tests but those of test-real, with the race detector where there is something to find
	@scripts/test plain race

test-real: setup programs ## run the programs end to end, the short chaos and the benches' smoke, then fuzz for two minutes
	@$(PROGRAMS) scripts/test real
	@$(MAKE) --no-print-directory test-chart fuzz-short

check: ## gofmt, go vet and staticcheck
	@bad=$$(gofmt -l .) && [ -z "$$bad" ] || { echo "gofmt would change:"; echo "$$bad"; exit 1; }
	$(STATIC) go vet ./...
	$(STATIC) go run honnef.co/go/tools/cmd/staticcheck ./...

build: ## build static binaries into bin/, with the terms that go with them
	$(STATIC) go build -ldflags="-s -w" -o bin/ ./cmd/...
	cp LICENSE THIRD_PARTY bin/

programs: build ## build the examples as well, for the tests
	$(STATIC) go build -ldflags="-s -w" -o bin/ ./examples/...

release: ## build the archives, lists of contents and checksums of a release into dist (VERSION=v0.2.0)
	@scripts/release "$$VERSION" dist

drills: setup programs ## make every fault that somebody is woken for, with a real Prometheus (DRILL=redis,lanes for some; test-real has them all)
	@$(PROGRAMS) $(STATIC) go test -vet=off -count=1 -v ./test/drills

test-chart: ## render the Helm chart and hold it against Kubernetes' types
	cd deploy/helm/test && $(STATIC) go test -vet=off ./...

generate: ## regenerate code and reference pages
	$(STATIC) go generate ./...

quickstart: ## run the whole gateway on a toy chain, with nothing but Go (ARGS=--once for the story alone)
	@echo "Compiling what is not compiled yet: the first time this takes three to six minutes."
	@go run -v ./cmd/quickstart $(ARGS)

env: ## write a .env with fresh secrets for docker compose
	@scripts/dotenv .env

bench: setup build ## measure the gateway against its baselines (BENCH="deliver latency neighbour through api scan", ARGS=--json)
	@for name in $(BENCH); do $(PROGRAMS) $(STATIC) go run ./bench $$name $(ARGS) || exit 1; done

chaos: setup build ## deliver 20,000 events and receive 2,000 payments through every fault (CHAOS_PART=delivery or scanner, CHAOS_SEED, CHAOS_FAULTS)
	@[ "$(CHAOS_RUN)" = scanner ] || $(PROGRAMS) $(STATIC) CHAOS_PART=delivery go run ./test/chaos
	@[ "$(CHAOS_RUN)" = delivery ] || $(PROGRAMS) $(STATIC) CHAOS_PART=scanner go run ./test/chaos

fuzz: ## fuzz every target for FUZZTIME each (default 30s)
	@scripts/fuzz $(FUZZTIME)

fuzz-short: ## fuzz every target, two minutes in all
	@scripts/fuzz total 120

update-golden: ## rewrite the golden files of the packages that have some
	@pkgs=$$(grep -rlE --include='*_test.go' 'flag\.Bool\("update"' . | xargs -r -n 1 dirname | sort -u); \
		[ -n "$$pkgs" ] || { echo "no package has golden files"; exit 1; }; \
		echo "updating:" $$pkgs; $(SERVICES) -- go test $$pkgs -update

clean: ## remove what build and test leave behind
	rm -rf bin coverage.out
