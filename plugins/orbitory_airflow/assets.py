"""What DAGs tell each other about."""

from __future__ import annotations

from airflow.sdk import Asset

#: Told by every batch that was archived, whatever became of others: there may be something to make products of.
INVENTORY = Asset(name="inventory", uri="orbitory://inventory")
