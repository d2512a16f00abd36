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
# Together the pools have as many slots as there are tasks at once, so live data never waits behind a backfill or a PGE.
backfill=$((AIRFLOW__CORE__PARALLELISM / 5))
backfill=$((backfill > 0 ? backfill : 1))
read -ra queues < <(python -c 'from orbitory.catalogue import load; from orbitory.pge.resources import queues
from orbitory.settings import Settings; print(*queues(load(Settings.from_environment().catalogue)))')
pge=$((AIRFLOW__CORE__PARALLELISM * 2 / 5 / ${#queues[@]}))
pge=$((pge > 0 ? pge : 1))
rest=$((AIRFLOW__CORE__PARALLELISM - backfill))
for queue in "${queues[@]}"; do
    airflow pools set "pge_$queue" "$pge" "PGEs that run at once"
    rest=$((rest - pge))
done
airflow pools set default_pool $((rest > 0 ? rest : 1)) "live data"
exec airflow pools set backfill "$backfill" "work on the past; together: parallelism"
