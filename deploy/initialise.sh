#!/usr/bin/env bash
# Run to its end before every start of the services: both databases up to date, the administrator's password in its file.
set -euo pipefail
umask 077
if [ ! -s "$AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE" ]; then
    python -c 'import json, os; print(json.dumps({"admin": os.environ["AIRFLOW_ADMIN_PASSWORD"]}))' \
        >"$AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"
fi
python -m orbitory migrate
exec airflow db migrate
