#!/bin/sh
# Creates a database and a role for each service. A role owns its database and cannot connect to the others.
# Can be repeated, and then sets the passwords to those of the secrets.
set -eu
PGPASSWORD=$(cat /run/secrets/postgres_password)
export PGPASSWORD
psql --quiet --no-psqlrc -v ON_ERROR_STOP=1 -h postgres -U postgres -d postgres <<'SQL'
REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC;
SQL
for service in checkout orders inventory notifications; do
  url=$(cat "/run/secrets/${service}_database_url")
  password=${url#*://*:}
  psql --quiet --no-psqlrc -v ON_ERROR_STOP=1 -h postgres -U postgres -d postgres \
    -v name="$service" -v password="${password%%@*}" <<'SQL'
SET log_min_duration_statement = -1; -- no password in the log
SET log_min_error_statement = panic;
SELECT format('CREATE ROLE %I', :'name') WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'name') \gexec
ALTER ROLE :"name" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE CONNECTION LIMIT 100 PASSWORD :'password';
SELECT format('CREATE DATABASE %I OWNER %I', :'name', :'name')
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'name') \gexec
REVOKE ALL ON DATABASE :"name" FROM PUBLIC;
SQL
done
