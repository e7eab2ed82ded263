"""The workshop: what `make` calls. It runs on the system's Python, before anything is installed."""
