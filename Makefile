# What people and CI call. Everything a target needs beyond Go and make it
# installs itself or says how.

GO ?= go
# The inner loop leaves out the tests that drive whole processes and a browser.
E2E = gatehouse/internal/e2e
# Has no goroutines, and would take minutes under the race detector.
MODEL = gatehouse/backend/cache/model

.PHONY: help run build test test-deps check lint fuzz bench-load bench-driver mutants soak clean

help: ## Show this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

run: build ## Build and start both tiers on the embedded default; prints a URL
	@exec ./bin/gatehouse serve $(ARGS)

build: ## Build the one static binary, bin/gatehouse
	@CGO_ENABLED=0 $(GO) build -trimpath -o bin/gatehouse .

test: test-deps lint ## Install what the tests need, then run all of them
	CGO_ENABLED=1 $(GO) test -race -timeout 20m $$($(GO) list ./... | grep -v '^$(MODEL)$$')
	$(GO) test $(MODEL)

test-deps: ## Install MariaDB, Redis, Prometheus, Chromium and a C compiler where they are missing
	@sh tools/install/test-deps.sh

check: test-deps lint ## The inner loop: format, vet, staticcheck, all but the end-to-end tests
	CGO_ENABLED=1 $(GO) test -race -timeout 10m $$($(GO) list ./... | grep -v -e '^$(E2E)' -e '^$(MODEL)$$')
	$(GO) test $(MODEL)

lint: ## Format, vet and staticcheck
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "not formatted (run gofmt -w):"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	@$(GO) vet ./...
	@$(GO) tool -modfile=tools/go.mod staticcheck ./...

FUZZTIME ?= 60s
fuzz: ## Run each fuzz target for FUZZTIME
	@for package in $$($(GO) list ./...); do \
	  for target in $$($(GO) test -list '^Fuzz' $$package | grep '^Fuzz'); do \
	    echo "$$package $$target"; $(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) $$package || exit 1; \
	  done; \
	done

bench-driver: ## Compare what a request costs our load driver and vegeta; DRIVERARGS="-rate 1000 -rounds 9"
	@mkdir -p bin && cd bench/driver && $(GO) build -o ../../bin/bench-driver . && exec ../../bin/bench-driver $(DRIVERARGS)

LOAD_ROWS ?= 500000
bench-load: test-deps ## Compare users generate with MariaDB's own LOAD DATA of the same LOAD_ROWS rows
	@LOAD_ROWS=$(LOAD_ROWS) $(GO) test -run '^$$' -bench . -benchtime 3x -timeout 60m ./bench/loaddata

mutants: test-deps ## Put each known bug into a copy of the code; every one must be found by its test
	@$(GO) run ./internal/mutants

soak: ## What takes longer than a test may: the cache's model in larger scopes, ten million calls over the link
	TEST_SCOPE=large $(GO) test -count=1 -timeout 60m -v -run LargerScopes $(MODEL)
	TEST_PAIRS=10000000 $(GO) test -count=1 -timeout 60m -v -run 'TestNoCallIsAnsweredForAnother$$' ./protocol

clean: ## Remove what was built
	rm -rf bin
