"""Orbitory: an archive for Earth-observation missions. Free of Airflow; see ``docs/glossary.md`` for its words."""

__version__ = "0.1.0"
