"""The soak test: all services run for an hour, idle or under load, and must not grow (../README.md)."""
