# Everything a developer does here. `make` alone lists it.

PYTHON ?= python3
PORT ?= 8000
BIN := .venv/bin
# Python 3.11 or newer; sandbox/tools/environment.py says so when it is older.
ENVIRONMENT := $(PYTHON) -m sandbox.tools.environment

.DEFAULT_GOAL := help
.PHONY: help run run-full test nightly mutation lint types imports docs bench openapi reference messages screenshots clean

help: ## List what can be made
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

run: ## Open the sandbox shop on http://127.0.0.1:8000 (PORT=… for another port)
	@exec $(PYTHON) sandbox/run.py --port $(PORT)

run-full: ## The same on PostgreSQL and Redis, with a worker and a schedule (DATABASE_URL, CELERY_BROKER_URL)
	@exec $(PYTHON) sandbox/run.py --port $(PORT) --full

test: ## Run the whole suite, and the lanes of whatever database, broker and browser is here
	@$(PYTHON) -m sandbox.tools.lanes

nightly: ## Search long: 2,000 histories of points, returns and refunds (EXAMPLES) and 50 rounds of each race (ROUNDS) on every engine here
	@$(PYTHON) -m sandbox.tools.nightly

mutation: ## Change the ledger's code in every small way and list what no test notices (MODULES)
	@$(ENVIRONMENT) sandbox test mutation
	@$(BIN)/python -m tests.tools.mutation $(MODULES)

lint: ## Look for mistakes and untidiness
	@$(ENVIRONMENT) lint
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

imports: ## Check who imports whom
	@$(ENVIRONMENT) lint
	@$(BIN)/lint-imports

types: ## Check the types
	@$(ENVIRONMENT) sandbox test types
	@$(BIN)/mypy

docs: ## Build the documentation, strictly, into build/docs
	@$(ENVIRONMENT) docs
	@$(BIN)/mkdocs build --config-file .mkdocs.yml --strict --quiet

bench: ## Measure what the app adds to a shop
	@$(ENVIRONMENT) sandbox test
	@$(BIN)/python -m benchmarks

openapi: ## Write openapi.yaml anew after a change to the API
	@$(ENVIRONMENT) sandbox test
	@DJANGO_SETTINGS_MODULE=tests.hosts.plain.settings $(BIN)/python -m django \
		spectacular --urlconf oscar_loyalty.urls --custom-settings oscar_loyalty.rest_api.schema.SETTINGS \
		--validate --fail-on-warn --file openapi.yaml

reference: ## Write the generated pages of docs/reference anew
	@$(ENVIRONMENT) sandbox test
	@DJANGO_SETTINGS_MODULE=tests.hosts.plain.settings $(BIN)/python -m sandbox.tools.reference

PAGES ?= / /catalogue/ /basket/ /accounts/login/ /accounts/orders/
LOGIN ?= hanna@morgenrot.example kaffee-und-tee
screenshots: ## Picture pages of the running shop (PAGES, LOGIN) in both languages and widths
	@$(ENVIRONMENT) test
	@$(BIN)/python -m sandbox.tools.screenshots http://127.0.0.1:$(PORT) $(LOGIN) $(PAGES)

messages: ## Collect the texts to translate, and compile those translated (needs gettext)
	@$(ENVIRONMENT) sandbox
	@cd oscar_loyalty && ../$(BIN)/django-admin makemessages --locale de --no-wrap --no-obsolete --add-location file
	@cd oscar_loyalty && ../$(BIN)/django-admin compilemessages --locale de

clean: ## Remove what was made here, but not the shop's data (sandbox/var)
	@rm -rf .venv .venv.lock .tox .coverage* .hypothesis .mypy_cache .ruff_cache .import_linter_cache build dist *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
