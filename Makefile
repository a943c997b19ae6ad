# Every target does its own set-up; on a fresh Debian 12 it needs Python 3.11, git and make.

MAKEFLAGS += --no-print-directory
BIN := .venv/bin
ROOMS := $(wildcard src tests lab benchmarks demo fuzz soak scripts)

.PHONY: test test-more unit lint demo bench fuzz soak install deb setup lock clean

# Cards in a process of their own: PC/SC's library looks up where its service is once, when it is first used.
# The lab's programs write no bytecode, so without compileall each of hundreds of starts would compile the sources anew.
# In the order of the folders: by the number of their tests, the longest files (a test or two) would come last of all.
test: setup
	@$(BIN)/python -m compileall -q src
	@$(MAKE) -C reader check
	@$(BIN)/python -m pytest tests/cards
	@$(BIN)/python -m pytest --numprocesses=2 --dist=loadfile --no-loadscope-reorder --ignore=tests/cards
	@$(BIN)/python -m fuzz --minutes=2 --jobs=2

# What takes too long for every day.
test-more: setup
	@$(BIN)/python -m pytest --timeout=1800 tests/more

# The tests that need no root and no second machine.
unit: setup
	@$(BIN)/python -m pytest --ignore=tests/system --ignore=tests/reader

# For C, a warning of gcc or clang is an error: what compiles has none.
lint: setup
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy $(ROOMS)
	@$(BIN)/lint-imports
	@$(MAKE) -s -C reader all build/clang.so build/loader build/loader-clang build/login-clang

demo: setup
	@$(BIN)/python -m demo.main

bench: setup
	@$(BIN)/python -m benchmarks

# Every parser, for MINUTES of wall time in all, JOBS of them at a time: make fuzz MINUTES=60 JOBS=1
fuzz: setup
	@$(BIN)/python -m fuzz --minutes=$(or $(MINUTES),2) --jobs=$(or $(JOBS),2)

# Work and faults at random, against rules that hold all the time: make soak MINUTES=60 SEED=4116
soak: setup
	@$(BIN)/python -m soak $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED)) $(if $(ONLY),--only $(ONLY))

# The product, for machines without dpkg; then "sra activate" as everywhere: make install DESTDIR=/tmp/root PREFIX=/usr
PREFIX ?= /usr/local
install: setup
	@$(BIN)/python packaging/install.py "$(DESTDIR)" "$(PREFIX)"
	@$(MAKE) -s -C reader install DESTDIR="$(DESTDIR)"

# The Debian package, into dist/. One at a time: dh works in debian/.
deb: setup
	@mkdir -p build dist
	@flock build/deb.lock sh -c 'debian/rules binary && mv build/secure-remote-access_*.deb dist/ && debian/rules clean' \
		>build/deb.log 2>&1 || { cat build/deb.log; false; }
	@ls dist/secure-remote-access_$$(dpkg-parsechangelog -SVersion)_*.deb

setup:
	@/usr/bin/python3 scripts/set_up.py
	@$(MAKE) -s -C reader

# Choose newer Python packages, deliberately.
lock:
	@scripts/lock.sh

clean:
	@$(MAKE) -C reader clean
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	rm -rf debian/.debhelper debian/secure-remote-access debian/files debian/*.substvars debian/debhelper-build-stamp
	find . -name __pycache__ -prune -exec rm -rf {} +
