"""Puts whatever is wrong with the catalogue on Airflow's home page, as an import error; defines no DAG."""

from __future__ import annotations

from orbitory.errors import ConfigurationError
from orbitory_airflow import runtime

if problems := runtime.catalogue().problems:
    raise ConfigurationError("\n".join(str(problem) for problem in problems))
