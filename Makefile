# Product Importer: `make help` lists what there is.
.DEFAULT_GOAL := help
SHELL := /bin/bash -o pipefail

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT  ?= $(shell git rev-parse HEAD 2>/dev/null)
TOOL    := go tool -modfile=tools.mod
LINT    := go tool -modfile=scripts/golangci.mod golangci-lint
WEB     := client/web
WEB_SRC := $(shell find $(WEB)/src $(WEB)/public -type f 2>/dev/null) $(WEB)/index.html $(WEB)/vite.config.ts $(WEB)/package.json
GO_SRC   = $(shell find . -name '*.go' -not -path './$(WEB)/node_modules/*') migrations/*.sql go.mod

.PHONY: help run build web pg-tools test race e2e lint fmt verify bench bench-ws bench-webhooks bench-products fuzz dev release image clean

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

run: build pg-tools ## build everything and start it; prints one URL
	@exec bin/importer serve

build: bin/importer ## the dashboard and the binary, in bin/

bin/importer: $(GO_SRC) $(WEB)/dist/index.html
	@echo "Building bin/importer"
	@CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)" -o $@ ./cmd/importer

web: $(WEB)/dist/index.html ## the dashboard alone

$(WEB)/dist/index.html: $(WEB)/node_modules/.package-lock.json $(WEB_SRC)
	@echo "Building the dashboard"
	@cd $(WEB) && npm run --silent build -- --logLevel warn

$(WEB)/node_modules/.package-lock.json: $(WEB)/package-lock.json
	@echo "Installing the dashboard's packages"
	@cd $(WEB) && npm ci --silent --no-audit --no-fund
	@touch $@

pg-tools: bin/importer ## Postgres binaries in .tools/, if the machine has none
	@scripts/pg-tools

dev: build pg-tools ## the server, and Vite with hot reload in front of it
	@scripts/dev

test: ## everything: Go with the race detector, the dashboard, a real browser; one summary
	@scripts/test

race: ## the Go tests alone
	@go test -race ./...

e2e: build pg-tools ## the browser tests alone
	@scripts/chromium && cd $(WEB) && npm run --silent e2e

fmt: ## format the Go code
	@gofmt -w $$(git ls-files '*.go')

lint: ## vet, staticcheck, gosec and those of .golangci.yml
	@go vet ./... && $(TOOL) staticcheck ./... && $(LINT) run --show-stats=false

verify: web ## what must hold before a commit: format, lint, architecture, tidy modules
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); echo "run make fmt"; exit 1; }
	@go vet ./...
	@$(TOOL) staticcheck ./...
	@$(LINT) run --show-stats=false
	@scripts/vulncheck
	@cd deploy/check && go vet ./... && go mod tidy -diff
	@go test -run 'Architecture|Judge' .
	@go mod tidy -diff
	@cd $(WEB) && npm run --silent check
	@! grep -n '"resolved"' $(WEB)/package-lock.json scripts/package-lock.json scripts/asyncapi/package-lock.json
	@scripts/lint-openapi
	@scripts/lint-asyncapi
	@echo "verify: all good"

bench: build ## the figures of the README, on this machine
	@scripts/bench

bench-products: build ## the figures of the catalogue: lists, searches, export, deletion
	@scripts/bench-products

bench-ws: build ## the figures of the live stream
	@scripts/bench-ws

bench-webhooks: build ## the figures of webhooks
	@scripts/bench-webhooks

fuzz: ## fuzz the CSV reader, the frames of /ws and the SKU key, a minute each
	@go test -run '^$$' -fuzz FuzzSKUKey -fuzztime 60s -fuzzminimizetime 10x .
	@go test -run '^$$' -fuzz FuzzParseFrame -fuzztime 60s -fuzzminimizetime 10x ./httpd
	@for f in $$(go test -list '^Fuzz' ./internal/csvfile | grep ^Fuzz); do go test -run '^$$' -fuzz "^$$f$$" -fuzztime 60s -fuzzminimizetime 10x ./internal/csvfile || exit 1; done

release: web ## binaries for Linux and macOS, amd64 and arm64, with checksums, in release/
	@scripts/release $(VERSION) $(COMMIT)

image: ## container images: the program alone (app), and with a Postgres (allinone)
	@scripts/image app $(VERSION) $(COMMIT)
	@scripts/image allinone $(VERSION) $(COMMIT)

clean: ## remove what was built; never data
	@rm -rf bin $(WEB)/node_modules && find $(WEB)/dist -mindepth 1 -not -name .gitkeep -delete
