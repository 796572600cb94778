"""Scripted purchases through a running system. `python -m demo --smoke` and the end-to-end tests run them."""
