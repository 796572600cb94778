"""Database access: engine, column types, transactions, notifications, migrations."""
