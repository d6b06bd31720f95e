# Short names for what CONTRIBUTING describes; everything here also works by hand.
PYTHON ?= python

.PHONY: install test lint format gradcheck sanitize analyze neon whole train steps docs site clean

install:        ## build the kernels and install in place, with everything a developer needs
	$(PYTHON) -m pip install -e ".[dev]"

test:           ## the whole suite
	$(PYTHON) -m pytest

lint:           ## what CI holds against a change before the tests
	ruff check .
	ruff format --check .
	clang-format --dry-run --Werror csrc/*.c csrc/*.h csrc/steps/*.c csrc/steps/*.h
	mypy

format:         ## put Python and C into the house style
	ruff check --fix .
	ruff format .
	clang-format -i csrc/*.c csrc/*.h csrc/steps/*.c csrc/steps/*.h

gradcheck:      ## prove every operation
	$(PYTHON) -m minivision gradcheck

sanitize:       ## the kernels under gcc's sanitizers: addresses, undefined behaviour, races between threads
	$(PYTHON) tests/hard/sanitize.py

analyze:        ## the kernels without a warning, by gcc and clang, for every instruction set
	$(PYTHON) tests/hard/analyze.py

neon:           ## the kernels for ARM, in an emulator
	$(PYTHON) tests/hard/neon.py

whole:          ## every published model whole, beside its reference: NAMES="vgg* resnet50" CLONES=folder, beside torch and timm
	$(PYTHON) tests/hard/whole.py $(if $(CLONES),--clones $(CLONES)) $(foreach name,$(NAMES),'$(name)')

train:          ## the README's first command, without the installation
	$(PYTHON) -m minivision train vit --data digits --out runs/vit

steps:          ## time the teaching ladder of csrc/steps, and draw it
	$(PYTHON) tests/bench/steps.py --picture runs/steps.png

docs:           ## the site, every lesson run: tutorials/_build/html/index.html (`minivision docs` opens it)
	$(PYTHON) -m sphinx -W --keep-going tutorials tutorials/_build/html

site:           ## the built site in a real browser: every page, two widths, light and dark
	$(PYTHON) tests/hard/site.py

clean:
	rm -rf tutorials/_build tutorials/lessons build dist *.egg-info minivision/*.so .pytest_cache .mypy_cache .ruff_cache
