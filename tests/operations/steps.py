"""Which blocks of docs/operations.md the test runs, in their order, and which it does not run.

Each block is named by its section and a text that only this block has.
"""

CONFIGURE = ("On one machine", "make configure LIVEMODE=true")
START = ("On one machine", "make up\ndocker compose ps")
SCALE = ("Scale", "make configure ORDERS_WORKER_SCALE=4")
UPGRADE = ("Upgrade", "make configure VERSION=0.2.0")
ROTATE_OWN = ("Rotate secrets", "make rotate SECRET=orders_database_url")
ROTATE_GIVEN = ("Rotate secrets", "make rotate SECRET=stripe_api_key")
BACKUP = ("Backup and restore", "pg_dump")
RESTORE = ("Backup and restore", "pg_restore")
SWAP = ("Backup and restore", "ALTER DATABASE orders RENAME TO orders_before")
CATCH_UP = ("Backup and restore", "outbox republish")
ERASE = ("Erase a customer", "erase-customer --reason")

RUN = (CONFIGURE, START, SCALE, UPGRADE, ROTATE_OWN, ROTATE_GIVEN, BACKUP, RESTORE, SWAP, CATCH_UP, ERASE)
NOT_RUN = {
    "# asks for each setting": "a person answers; test_configure.py runs it with no person to ask",
    "make up PROFILES=demo,observe": "the demo: the other tests of make test-compose run it",
    "make configure VERSION=0.1.0": "the test goes back to the version with which it started, by the blocks of UPGRADE",
    "migrate --to orders@0003": "it deletes data; test_migrate_command.py runs it",
    "git pull && make up": "the test has no newer commit; UPGRADE does the same step by step",
}
