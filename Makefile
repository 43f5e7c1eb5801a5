# `make demo` and `make test` need only Python 3.11 or later; README.md says what the other targets need.

PYTHON ?= python3
CORES ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu)
BIN := .venv/bin

.PHONY: demo pretrain report test test-slow lint dag bench bench-gpu bench-quick clean

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

# the embedded encoders again, from their voices to their cards
pretrain: .venv/installed
	$(BIN)/python workflow/pretrain_encoders.py $(CORES)

report: .venv/installed
	@$(BIN)/python workflow/make_report.py $${CONFIG:+"$$CONFIG"}

# one thread per process: the files of tests run side by side
test test-slow: export OMP_NUM_THREADS = 1

test: .venv/installed
	$(BIN)/python -m pytest -m "not slow" --numprocesses $(CORES) --dist loadfile

test-slow: .venv/installed
	$(BIN)/python -m pytest -m slow --numprocesses $(CORES) --dist loadfile --no-loadscope-reorder --durations 30 -v

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow/Snakefile rules
	$(BIN)/python workflow/document_keys.py --check
	$(BIN)/mypy src bench
	$(BIN)/snakemake --lint

dag: .venv/installed
	@command -v dot > /dev/null || { echo "make dag needs graphviz: install graphviz, then run again"; exit 1; }
	mkdir -p results
	$(BIN)/snakemake all --rulegraph > results/rulegraph.dot
	dot -Tsvg results/rulegraph.dot > results/rulegraph.svg
	@echo "Rule graph: results/rulegraph.svg"

BENCHMARKS := extraction precision peer probes distances adaptation batches evaluation scale lengths gpu

# another program to compare with; without its many dependencies, none of which is used. The comparison is left out
# where it cannot be fetched
build/fadtk: | .venv/installed
	-$(BIN)/python -m pip install --quiet --no-deps --target $@ \
		fadtk==1.1.0 hypy-utils==1.0.29 librosa==0.11.0 lazy_loader==0.6

# the table has what this run measured, also if a script fails
bench: .venv/installed build/fadtk
	rm -f results/bench/*.json
	failed=; for script in $(BENCHMARKS); do $(BIN)/python bench/$$script.py || failed="$$failed $$script"; done; \
		$(BIN)/python bench/table.py; test -z "$$failed" || { echo "failed:$$failed"; exit 1; }

# what only a GPU can tell; `make bench` leaves it out where there is none
bench-gpu: .venv/installed
	$(BIN)/python bench/gpu.py

# runs every benchmark to its end on very little data, some at once, without judging the results
bench-quick: .venv/installed build/fadtk
	printf '%s\n' $(BENCHMARKS) | xargs -P $(CORES) -I '{}' sh -c \
		'$(BIN)/python bench/{}.py --quick || { echo "failed: {}"; exit 1; }'
	$(BIN)/python bench/table.py --quick

clean:
	rm -rf .venv .snakemake results/demo data/demo build
