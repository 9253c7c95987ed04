# Every target makes .venv when it is not there; a fresh machine needs Python 3.11 or newer and nothing else.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# Real libraries whose rerankers and documents the tests use; apart from $(VENV), since the package must not need them.
EXTRAS := .integrations
EXTRAS_FILE := tests/integrations/requirements.txt
# The oldest versions that semcache.integrations supports.
OLDEST := .integrations-oldest
OLDEST_FILE := tests/integrations/requirements-oldest.txt
# What builds the site of docs/; apart, since neither the package nor its tests need it.
DOCS := .docs
DOCS_FILE := docs/_make/requirements.txt

.PHONY: demo dist docs docs-pages test test-oldest types workflows lint audit mutants fuzz isolation faults bench bench-quick clean

$(VENV)/.installed: pyproject.toml constraints.txt
	@echo "Installing semcache and what it needs into $(VENV): about 1 GB and three minutes, only the first time ..."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@
	@echo "Installed."

demo: $(VENV)/.installed
	$(BIN)/semcache demo

test: $(VENV)/.installed $(EXTRAS)/.installed $(DOCS)/.installed
	$(BIN)/pytest

# Without the network the tests run all the same; those that miss a library are named at the end.
$(EXTRAS)/.installed: $(EXTRAS_FILE) $(VENV)/.installed
	@echo "Installing libraries for tests/integrations into $(EXTRAS): about 150 MB, only the first time ..."
	@rm -rf $(EXTRAS)
	@$(BIN)/pip install --quiet --no-deps --target $(EXTRAS) --requirement $(EXTRAS_FILE) && touch $@ \
		|| { rm -rf $(EXTRAS); echo "They could not be installed, see above; their tests are left out."; }

# The site, in site: open site/index.html. A link that leads nowhere is an error.
docs: $(VENV)/.installed $(DOCS)/.installed
	PYTHONPATH=$(DOCS):. NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

# Pages and pictures that are written from the code.
docs-pages: $(VENV)/.installed
	for page in settings_page events_page metrics_page pictures; do $(BIN)/python -m docs._make.$$page || exit 1; done

$(DOCS)/.installed: $(DOCS_FILE) $(VENV)/.installed
	@rm -rf $(DOCS)
	@$(BIN)/pip install --quiet --no-deps --target $(DOCS) --requirement $(DOCS_FILE) && touch $@ \
		|| { rm -rf $(DOCS); echo "mkdocs could not be installed, see above; the site is not built."; }

test-oldest: $(OLDEST)/.installed
	INTEGRATIONS_FOLDER=$(OLDEST) $(BIN)/pytest -W ignore tests/integrations/test_langchain_compressor.py \
		tests/integrations/test_llama_index_rerank.py tests/integrations/test_haystack_ranker.py

$(OLDEST)/.installed: $(OLDEST_FILE) $(VENV)/.installed
	@rm -rf $(OLDEST)
	$(BIN)/pip install --quiet --no-deps --target $(OLDEST) --requirement $(OLDEST_FILE)
	@touch $@

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy tests/callers.py
	$(BIN)/lint-imports

# Needs the advisories of the package index. Without them it fails: what was not looked up is not known to be safe.
audit: $(VENV)/.installed
	@$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[audit]'
	$(BIN)/pip-licenses --from=mixed --order=license
	$(BIN)/pip-audit --strict --no-deps --disable-pip --progress-spinner=off --requirement constraints.txt \
		|| { echo "A package above is vulnerable, or its advisories could not be read from the package index."; exit 1; }

# The ten lines of the README, in an environment that has nothing but the wheel and what it needs: 1 GB, three minutes.
# The wheel is then made once more, with the list of what was installed there (an SBOM, in CycloneDX's form) inside.
dist: $(VENV)/.installed
	rm -rf dist
	@$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[release]'
	$(BIN)/python -m hatchling build -d dist
	$(PYTHON) -m venv dist/venv
	dist/venv/bin/pip install --quiet --constraint constraints.txt "$$(ls dist/*.whl)[embedded,offline,onnx,cli]"
	cd dist && venv/bin/semcache config > /dev/null
	awk '/^```python/ {on = 1; next} /^```/ && on {exit} on' README.md > dist/ten_lines.py
	cd dist && venv/bin/python ten_lines.py
	PATH=$(CURDIR)/$(BIN):$$PATH HATCH_BUILD_HOOK_ENABLE_SBOM=true $(BIN)/python -m hatchling build -t wheel -d dist
	$(BIN)/python -m zipfile --list dist/*.whl | grep sboms/
	rm -rf dist/venv dist/ten_lines.py

# The files for a public forge. They cannot be run here; two checkers read them.
workflows: $(VENV)/.installed
	@$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[release]'
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/zizmor --offline --quiet --config .github/zizmor.yml .github/workflows

# Whether callers see the types of all public names, also of the integrations. --verifytypes knows no --pythonpath: it
# takes the packages of the python that is first on PATH.
types: $(VENV)/.installed $(EXTRAS)/.installed
	test -d .pyright || $(PYTHON) -m venv .pyright
	.pyright/bin/pip install --quiet basedpyright==1.40.2
	PYTHONPATH=$(CURDIR)/$(EXTRAS) PATH=$(CURDIR)/$(BIN):$$PATH $(BIN)/python -m tests.public_types .pyright/bin/basedpyright
	PATH=$(CURDIR)/$(BIN):$$PATH .pyright/bin/basedpyright --level error tests/callers.py

mutants: $(VENV)/.installed
	$(BIN)/python -m tests.mutants
	$(BIN)/python -m tests.mutants --walls

fuzz: $(VENV)/.installed
	$(BIN)/python -m tests.fuzz

isolation: $(VENV)/.installed
	$(BIN)/python -m tests.isolation

faults: $(VENV)/.installed $(EXTRAS)/.installed
	$(BIN)/python -m tests.faults

bench: $(VENV)/.installed
	$(BIN)/python -m benchmarks

bench-quick: $(VENV)/.installed
	$(BIN)/python -m benchmarks.quick

clean:
	rm -rf $(VENV) $(EXTRAS) $(OLDEST) $(DOCS) .pyright dist build site .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
