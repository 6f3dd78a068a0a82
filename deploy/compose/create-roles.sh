#!/bin/bash
# The two roles and the database of RUNBOOK.md. PostgreSQL's image runs this once, when it makes its data folder.
set -euo pipefail
psql -v ON_ERROR_STOP=1 --username postgres --dbname postgres \
    -v owner_password="$(cat /run/secrets/owner_password)" -v web_password="$(cat /run/secrets/web_password)" <<'SQL'
CREATE ROLE sallyport_owner LOGIN PASSWORD :'owner_password';
CREATE ROLE sallyport_web LOGIN PASSWORD :'web_password';
CREATE DATABASE sallyport OWNER sallyport_owner;
SQL
