#!/usr/bin/env bash
# Run to its end before every start of the services: both databases up to date, the administrator's password in its file.
set -euo pipefail
umask 077
if [ ! -s "$AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE" ]; then
    python -c 'import json, os; print(json.dumps({"admin": os.environ["AIRFLOW_ADMIN_PASSWORD"]}))' \
        >"$AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"
fi
python -m orbitory migrate
airflow db migrate
# Together the pools have as many slots as there are tasks at once, so live data never waits behind a backfill.
backfill=$((AIRFLOW__CORE__PARALLELISM / 5))
backfill=$((backfill > 0 ? backfill : 1))
airflow pools set default_pool $((AIRFLOW__CORE__PARALLELISM - backfill)) "live data"
exec airflow pools set backfill "$backfill" "work on the past; together: parallelism"
