"""Web applications: app, errors, authentication, pagination, health, server."""
