#!/bin/sh
# Creates the role of postgres-exporter. It reads statistics (pg_monitor), and no table of a service.
# Can be repeated, and then sets the password to that of the secret.
set -eu
PGPASSWORD=$(cat /run/secrets/postgres_password)
export PGPASSWORD
psql --quiet --no-psqlrc -v ON_ERROR_STOP=1 -h "${PGHOST:-postgres}" -U "${PGUSER:-postgres}" -d postgres \
  -v password="$(cat "${MONITORING_PASSWORD_FILE:-/run/secrets/monitoring_password}")" <<'SQL'
SELECT 'CREATE ROLE monitoring' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'monitoring') \gexec
ALTER ROLE monitoring LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE CONNECTION LIMIT 5 PASSWORD :'password';
GRANT pg_monitor TO monitoring;
GRANT CONNECT ON DATABASE postgres TO monitoring;
SQL
