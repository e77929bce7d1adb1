# Copyright (c) 2026 The kata-tes Authors
# SPDX-License-Identifier: Apache-2.0
#
# `make help` lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

BUILD := $(CURDIR)/build
BIN := $(BUILD)/bin
TOOLS := $(BUILD)/tools

# Kata's module lives in a repository whose tags Go refuses, and one of its
# requirements has a checksum of its own in the public database; both are
# pinned in go.sum.
export GONOSUMDB := github.com/cri-o/*,github.com/kata-containers/*
export GOFLAGS := -buildvcs=false

# Pinned tools. A tool is built once for each version.
GOLANGCI_LINT_VERSION := v2.15.0
BUF_VERSION := v1.75.0
GOVULNCHECK_VERSION := v1.9.0
HELM_VERSION := v4.3.1
NFPM_VERSION := v2.45.2
CYCLONEDX_VERSION := v1.10.0
PROTOC_GEN_GO_VERSION := $(shell go list -m -f '{{.Version}}' google.golang.org/protobuf)
PROTOC_GEN_TTRPC_VERSION := $(shell go list -m -f '{{.Version}}' github.com/containerd/ttrpc)

GOLANGCI_LINT := $(TOOLS)/golangci-lint-$(GOLANGCI_LINT_VERSION)/golangci-lint
BUF := $(TOOLS)/buf-$(BUF_VERSION)/buf
GOVULNCHECK := $(TOOLS)/govulncheck-$(GOVULNCHECK_VERSION)/govulncheck
HELM := $(TOOLS)/helm-$(HELM_VERSION)/helm
NFPM := $(TOOLS)/nfpm-$(NFPM_VERSION)/nfpm
CYCLONEDX := $(TOOLS)/cyclonedx-gomod-$(CYCLONEDX_VERSION)/cyclonedx-gomod
PROTOC_GEN_GO := $(TOOLS)/protoc-gen-go-$(PROTOC_GEN_GO_VERSION)/protoc-gen-go
PROTOC_GEN_TTRPC := $(TOOLS)/protoc-gen-go-ttrpc-$(PROTOC_GEN_TTRPC_VERSION)/protoc-gen-go-ttrpc

VERSION ?= $(shell git describe --always --dirty 2>/dev/null || echo unknown)
VERSION_PACKAGE := github.com/kata-tes/kata-tes/cmd/internal/version
LDFLAGS := -s -w -X $(VERSION_PACKAGE).Version=$(VERSION) -X $(VERSION_PACKAGE).mark=[kata-tes-version:$(VERSION)]
BINARIES := $(filter-out internal,$(notdir $(wildcard cmd/*)))

# Packages whose tests run inside the test node (build tag `node`), those that
# take longest first, so that two nodes are busy to the end. Benchmarks run only
# when asked (make bench).
LONGEST := $(patsubst %,functional-tests/%/,kata operator kubernetes runc load attacks)
NODE_PACKAGES = $(addprefix ./,$(LONGEST) $(filter-out $(LONGEST),$(sort $(dir $(shell grep -l '^//go:build node$$' functional-tests/*/*_test.go)))))
UNIT_FLAGS ?=
FUNCTIONAL_FLAGS ?=
# The limit of each package's tests in a node.
FUNCTIONAL_TIMEOUT ?= 40m
FUZZTIME ?= 30s
# Which share of the fault matrix is tried (functional-tests/faults).
TES_ROTATION ?= 1

##@ The main things
.PHONY: demo
demo: node ## On Kubernetes in a test node: apply the proposal's pod, show its listings, delete it
	functional-tests/demo.sh

.PHONY: test
test: unit functional ## All tests, of long series a share; a summary at the end
	@functional-tests/summary.sh show unit soak functional

.PHONY: test-all
test-all: export TES_ALL := 1
test-all: export FUNCTIONAL_TIMEOUT := 240m
test-all: test-release test ## All tests, long series to their end (some hours on 2 cores)

# Two whole releases, and the chart on a control plane without a node.
.PHONY: test-release
test-release: packages $(NFPM) $(CYCLONEDX) $(HELM) ## Make a release twice and compare; install the chart on a real API server
	TES_RELEASE=1 functional-tests/summary.sh keep release go test -count=1 -timeout 30m -v ./configs/release
	functional-tests/build.sh all
	TES_CLUSTER=1 functional-tests/summary.sh keep chart go test -count=1 -timeout 20m -v ./functional-tests/chart

##@ Building
.PHONY: build
build: ## Build the static binaries into build/bin
	@for b in $(BINARIES); do \
	  echo "go build $$b"; \
	  CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/$$b ./cmd/$$b; \
	done

# Where a release goes. The tests of configs/release have a folder of their own.
RELEASE ?= $(BUILD)/release
# Where `make image` pushes to (registry.example.com/kata-tes:v1.2.3); empty: nowhere.
IMAGE ?=

.PHONY: release
release: release-binaries $(NFPM) $(CYCLONEDX) ## Tarballs, .debs, SBOMs, Helm chart, SHA256SUMS in build/release (docs/releasing.md)
	@VERSION='$(VERSION)' NFPM=$(NFPM) CYCLONEDX=$(CYCLONEDX) configs/release/release.sh $(RELEASE)

.PHONY: image
image: release-binaries ## The container image as build/release/image, pushed to IMAGE if that is set
	@VERSION='$(VERSION)' configs/release/image.sh $(RELEASE) $(IMAGE)

.PHONY: release-binaries
release-binaries:
	@VERSION='$(VERSION)' LDFLAGS='$(LDFLAGS)' configs/release/binaries.sh $(RELEASE)

.PHONY: node
node: packages ## Build the test node: Debian root, Kata, containerd 2, Kubernetes, guest image (cached)
	functional-tests/build.sh all

.PHONY: packages
packages: ## Install the Debian packages that tests and node need (says which)
	@functional-tests/packages.sh

.PHONY: generate
generate: $(BUF) $(PROTOC_GEN_GO) $(PROTOC_GEN_TTRPC) ## Generate Go code from agentproto/v1/*.proto
	cd agentproto && PATH="$(dir $(PROTOC_GEN_GO)):$(dir $(PROTOC_GEN_TTRPC)):$$PATH" $(BUF) generate

.PHONY: kustomize
kustomize: $(HELM) ## Render the chart's defaults into configs/kustomize
	HELM=$(HELM) configs/kustomize/render.sh configs/kustomize

.PHONY: dependencies
dependencies: ## Write docs/dependencies.md: modules, versions, licences, who uses them
	go run ./functional-tests/cmd/dependencies >$(BUILD)/dependencies.md
	mv $(BUILD)/dependencies.md docs/dependencies.md

.PHONY: docs
docs: ## Write those parts of docs/ that are made from code
	go test -p 1 ./shim/config ./agent-ext/config ./functional-tests/attacks -run '^(TestReference|TestDocument)$$' -args -update

##@ Checking
.PHONY: lint
lint: packages lint-go lint-proto lint-mod lint-shell lint-helm lint-licences ## All linters and the check that generated code is current

.PHONY: lint-go
lint-go: $(GOLANGCI_LINT)
	$(GOLANGCI_LINT) run ./...

.PHONY: lint-proto
lint-proto: $(BUF) $(PROTOC_GEN_GO) $(PROTOC_GEN_TTRPC)
	cd agentproto && $(BUF) lint
	@rm -rf $(BUILD)/generated && mkdir -p $(BUILD)/generated
	@cd agentproto && PATH="$(dir $(PROTOC_GEN_GO)):$(dir $(PROTOC_GEN_TTRPC)):$$PATH" $(BUF) generate -o $(BUILD)/generated
	@for f in $(BUILD)/generated/v1/*.go; do \
	  diff -q "$$f" "agentproto/v1/$$(basename "$$f")" || { echo "agentproto: generated code is not current: run 'make generate' and commit"; exit 1; }; \
	done
	@echo "agentproto: generated code is current"

.PHONY: lint-mod
lint-mod:
	go mod verify >/dev/null
	go mod tidy -diff

.PHONY: lint-shell
lint-shell:
	shellcheck .ci/run $$(git ls-files '*.sh')

.PHONY: lint-helm
lint-helm: $(HELM)
	@$(HELM) lint --strict --quiet configs/helm/kata-tes
	@rm -rf $(BUILD)/kustomize && HELM=$(HELM) configs/kustomize/render.sh $(BUILD)/kustomize
	@for f in $$(cd $(BUILD)/kustomize && ls */*.yaml); do \
	  diff -q "$(BUILD)/kustomize/$$f" "configs/kustomize/$$f" || { echo "configs/kustomize is not the chart's output: run 'make kustomize' and commit"; exit 1; }; \
	done
	@echo "configs/helm: the chart is clean, configs/kustomize is what it gives"

.PHONY: lint-licences
lint-licences:
	@go run ./functional-tests/cmd/dependencies | diff - docs/dependencies.md || { echo "docs/dependencies.md is not current: run 'make dependencies' and commit"; exit 1; }

.PHONY: vulncheck
vulncheck: $(GOVULNCHECK) ## Known vulnerabilities in what we import (needs the Go vulnerability database)
	$(GOVULNCHECK) ./...

.PHONY: unit
unit: packages $(HELM) ## Unit tests with the race detector; as root, those on loop devices and QEMU too
	functional-tests/summary.sh quiet unit go test -race -timeout 30m -v $(UNIT_FLAGS) $$(go list ./... )
	@# These measure memory, of which the race detector takes its own.
	functional-tests/summary.sh quiet soak go test -v -run '^TestSoak' $(UNIT_FLAGS) ./shim/bootstrap ./shim/intercept

.PHONY: functional
functional: node ## Tests on real containerd, Kata, QEMU and KVM inside test nodes (two at a time)
	@# The extra disk is for a test of the guest agent extension on virtio-blk.
	TES_ROTATION=$(TES_ROTATION) \
	NODE_DISKS="serial=tes-00000000000000aa,size=1G,bus=virtio" TES_VIRTIO_MARKER=tes-00000000000000aa \
	CGO_ENABLED=0 functional-tests/summary.sh keep functional \
	  go test -tags node -count=1 -p 2 -timeout $(FUNCTIONAL_TIMEOUT) -v -exec "$(BIN)/node-exec" $(FUNCTIONAL_FLAGS) $(NODE_PACKAGES)

# Little time for minimizing: where files and goroutines are at work, an input
# does not reach the same lines twice, and Go would minimize for most of the time.
# And once more where it failed: Go may call a worker that is busy at the end of
# the time a failure ("context deadline exceeded"). An input that fails was written
# to testdata and fails again.
.PHONY: fuzz
fuzz: ## Every fuzz target for FUZZTIME (default 30s) each
	@try() { go test -run '^$$' -fuzz "^$$2\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x "$$1"; }; \
	set -o pipefail; failed=""; \
	for p in $$(go list ./...); do \
	  for f in $$(go test -list '^Fuzz' "$$p" | grep '^Fuzz' || [ $$? -eq 1 ]); do \
	    echo "== $$p $$f"; \
	    try "$$p" "$$f" || try "$$p" "$$f" || failed="$$failed $$f"; \
	  done; \
	done; \
	[ -z "$$failed" ] || { echo "fuzz targets that failed:$$failed"; exit 1; }

.PHONY: bench
bench: node ## Forwarding, memory, steps of Create, Prepare beside CDH's commands
	functional-tests/bench.sh

.PHONY: memory
memory: node ## Guest memory against image size, with a store and without: writes docs/memory.md
	functional-tests/memory.sh

##@ Housekeeping
.PHONY: clean
clean: ## Remove build/ (everything that was built, images included)
	rm -rf $(BUILD)

.PHONY: help
help: ## This list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  %-13s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

# go_tool(target, package@version)
define go_tool
$(1):
	@echo "building $(2)"
	@GOBIN=$$(dir $(1)) go install $(2)
endef
$(eval $(call go_tool,$(GOLANGCI_LINT),github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)))
$(eval $(call go_tool,$(BUF),github.com/bufbuild/buf/cmd/buf@$(BUF_VERSION)))
$(eval $(call go_tool,$(GOVULNCHECK),golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK_VERSION)))
$(eval $(call go_tool,$(HELM),helm.sh/helm/v4/cmd/helm@$(HELM_VERSION)))
$(eval $(call go_tool,$(NFPM),github.com/goreleaser/nfpm/v2/cmd/nfpm@$(NFPM_VERSION)))
$(eval $(call go_tool,$(CYCLONEDX),github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@$(CYCLONEDX_VERSION)))
$(eval $(call go_tool,$(PROTOC_GEN_GO),google.golang.org/protobuf/cmd/protoc-gen-go@$(PROTOC_GEN_GO_VERSION)))
$(eval $(call go_tool,$(PROTOC_GEN_TTRPC),github.com/containerd/ttrpc/cmd/protoc-gen-go-ttrpc@$(PROTOC_GEN_TTRPC_VERSION)))
