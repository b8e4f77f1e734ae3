.DEFAULT_GOAL := help
.PHONY: help setup test check build generate quickstart env bench chaos fuzz fuzz-short update-golden clean

SERVICES := go run ./internal/testkit/cmd/services
# Checks and the shipped binaries are compiled alike, so that they share the build cache.
STATIC   := CGO_ENABLED=0 GOFLAGS="$(GOFLAGS) -trimpath"
FUZZTIME ?= 30s
BENCH    ?= deliver latency neighbour through api

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## find or install what the tests need (as root on Debian; elsewhere it says what to install)
	@scripts/setup

test: setup ## run all tests with the race detector on private Postgres and Redis servers, then fuzz for two minutes
	$(SERVICES) -- go test -race -p 2 -timeout 15m ./...
	@$(MAKE) --no-print-directory fuzz-short

check: ## gofmt, go vet and staticcheck
	@bad=$$(gofmt -l .) && [ -z "$$bad" ] || { echo "gofmt would change:"; echo "$$bad"; exit 1; }
	$(STATIC) go vet ./...
	$(STATIC) go run honnef.co/go/tools/cmd/staticcheck ./...

build: ## build static binaries into bin/
	$(STATIC) go build -ldflags="-s -w" -o bin/ ./cmd/...

generate: ## regenerate code and reference pages
	go generate ./...

quickstart: ## run the whole gateway on a toy chain, with nothing but Go (ARGS=--once for the story alone)
	go run ./cmd/quickstart $(ARGS)

env: ## write a .env with fresh secrets for docker compose
	@scripts/dotenv .env

bench: setup ## measure the gateway against its baselines (BENCH="deliver latency neighbour through api", ARGS=--json)
	@for name in $(BENCH); do go run ./bench $$name $(ARGS) || exit 1; done

chaos: setup ## deliver 20,000 events through every fault (CHAOS_EVENTS, CHAOS_SEED, CHAOS_FAULTS)
	@go run ./test/chaos

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
