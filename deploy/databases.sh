#!/usr/bin/env bash
# Run once by the PostgreSQL image when its volume is new: two databases, and three roles with no more rights than they need.
set -euo pipefail
psql -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres \
    -v airflow="$AIRFLOW_DB_PASSWORD" -v owner="$ORBITORY_OWNER_PASSWORD" -v daily="$ORBITORY_DB_PASSWORD" <<'SQL'
CREATE ROLE airflow LOGIN PASSWORD :'airflow';
CREATE ROLE orbitory_owner LOGIN PASSWORD :'owner';
CREATE ROLE orbitory LOGIN PASSWORD :'daily';
CREATE DATABASE airflow OWNER airflow TEMPLATE template0 ENCODING 'UTF8';
CREATE DATABASE orbitory OWNER orbitory_owner TEMPLATE template0 ENCODING 'UTF8';
REVOKE CONNECT ON DATABASE airflow, orbitory FROM PUBLIC;
GRANT CONNECT ON DATABASE orbitory TO orbitory;
\connect orbitory
CREATE EXTENSION postgis;
CREATE EXTENSION btree_gist;
SQL
