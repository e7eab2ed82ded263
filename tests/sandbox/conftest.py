import os

# The tests in `shop` need the settings of the sandbox; `test_shop.py` runs them in a process of their own.
if os.environ.get("DJANGO_SETTINGS_MODULE") != "sandbox.settings":
    collect_ignore = ["shop"]
