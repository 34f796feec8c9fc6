.PHONY: help test bench fuzz fmt

FUZZTIME ?= 60s
BASE ?= HEAD~1

help: ## what can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

test: ## everything that CI checks
	./test

fmt: ## format the code
	go tool -modfile=tools/go.mod gofumpt -w .

bench: ## 10 runs of BASE (default HEAD~1) and of this tree, compared by benchstat
	rm -rf .bench && git worktree add -f .bench $(BASE)
	(cd .bench && go test -run '^$$' -bench . -count 10 ./... >../base.out); go test -run '^$$' -bench . -count 10 ./... >head.out
	git worktree remove --force .bench
	go tool -modfile=tools/go.mod benchstat base.out head.out

fuzz: ## each fuzz target for FUZZTIME
	@for f in $$(grep -rl '^func Fuzz' --include='*_test.go' internal); do \
	  for t in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9]*\).*/\1/p' $$f); do \
	    echo "$$t in $$(dirname $$f)"; go test -run '^$$' -fuzz "^$$t$$" -fuzztime $(FUZZTIME) ./$$(dirname $$f) || exit 1; \
	  done; done
