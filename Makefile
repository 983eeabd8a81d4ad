# Needs Python 3.11 or later and make; everything else goes into .venv.
PYTHON ?= python3
VENV ?= .venv
TESTS ?=
BIN := $(VENV)/bin

.PHONY: demo test lint format docs bench clean

# Compiled like what pip copies, so that no command has to do it, wherever it may write.
$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	$(BIN)/python -m compileall -q cli filters softsort_core
	touch $@

# Ranks a real table and denoises a real photograph; both ship with matplotlib.
demo: $(VENV)/.installed
	@mkdir -p demo
	@$(BIN)/python -c "import shutil, matplotlib.cbook as samples; \
	  [shutil.copy(samples.get_sample_data(name, asfileobj=False), 'demo') \
	   for name in ('Stocks.csv', 'grace_hopper.jpg')]"
	$(BIN)/softsort rank demo/Stocks.csv --comment '#' -c IBM,AAPL -o demo/ranked.csv --force
	@echo 'The last day, and the soft ranks of two prices among all days:'
	@cut -d, -f1-3,12-13 demo/ranked.csv | sed -n '2p;$$p'
	$(BIN)/softsort noise demo/grace_hopper.jpg --amount 0.1 --seed 0 -o demo/noisy.png --force
	$(BIN)/softsort denoise demo/noisy.png --method keep -o demo/denoised.png --force
	@echo 'Look at demo/noisy.png and demo/denoised.png; the ranks are in demo/ranked.csv.'

test: $(VENV)/.installed
	$(BIN)/pytest --numprocesses 2 --dist worksteal $(TESTS)

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

format: $(VENV)/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(VENV)/.documented: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	touch $@

# Writes the site to the folder `site`: the README, the guides and the API reference.
docs: $(VENV)/.documented
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# Takes about a quarter of an hour; ARGS=--quick, ARGS="--only gradient" or ARGS=--list for less.
bench: $(VENV)/.installed
	$(BIN)/python -m tests.benchmarks $(ARGS)

clean:
	rm -rf $(VENV) site
