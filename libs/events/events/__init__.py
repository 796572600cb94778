"""The library that Clozit's services share.

- messaging: events and their contracts, publisher, consumer, runner, inbox, outbox, relay, worker
- operations: search, retry and discard stored events (API, commands); requeue dead letters, republish (commands)
- database: engine, transactions, notifications, column types, migrations
- web: application, problems, authentication, pagination, idempotency keys, health, server
- observability: logs, traces, metrics
- testing: fixtures, servers and sample events for tests; production images do not contain it
"""
