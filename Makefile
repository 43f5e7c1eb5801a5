# `make demo` and `make test` need nothing beforehand but Python 3.11 or later; the rest is in README.md.

PYTHON ?= python3
CORES ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu)
BIN := .venv/bin

.PHONY: demo report test test-slow lint dag bench clean

# every package at the version that the tests ran with
.venv/installed: pyproject.toml envs/pins.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "speechsong needs Python 3.11 or later: make PYTHON=python3.11 ..."; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint envs/pins.txt --editable '.[dev]'
	touch $@

demo: .venv/installed
	$(BIN)/snakemake --cores $(CORES) --configfile demo.yaml

# the results folder that a run of CONFIG has
REPORTED = $(or $(shell sed -n 's/^results: *\([^ \#]*\).*/\1/p' $(or $(CONFIG),config.yaml)),results)

report: .venv/installed
	@test -f $(REPORTED)/summary.html && $(BIN)/snakemake all --cores 1 $(if $(CONFIG),--configfile $(CONFIG)) \
		--report $(REPORTED)/report.html --report-stylesheet workflow/report/report.css || \
		{ echo "No report, for the results in $(REPORTED) are not complete; first run:" \
		"snakemake --cores $(CORES) all$(if $(CONFIG), --configfile $(CONFIG))"; exit 1; }
	@echo "Report: $(REPORTED)/report.html"

# one thread a process: the tests themselves run side by side
test test-slow: export OMP_NUM_THREADS = 1

test: .venv/installed
	$(BIN)/python -m pytest -m "not slow" --numprocesses $(CORES) --dist loadfile

test-slow: .venv/installed
	$(BIN)/python -m pytest -m slow

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/snakemake --lint

dag: .venv/installed
	@command -v dot > /dev/null || { echo "make dag needs graphviz: install the package graphviz, then run again"; exit 1; }
	mkdir -p results
	$(BIN)/snakemake all --rulegraph > results/rulegraph.dot
	dot -Tsvg results/rulegraph.dot > results/rulegraph.svg
	@echo "Rule graph: results/rulegraph.svg"

bench: .venv/installed
	for script in extraction frechet probe adapt evaluation scale; do $(BIN)/python bench/$$script.py || exit 1; done

clean:
	rm -rf .venv .snakemake results/demo data/demo build
