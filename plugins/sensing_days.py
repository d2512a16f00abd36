"""One interval for each day of sensing, for DAGs that work on the past only when they are asked to."""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin
from airflow.timetables.base import DagRunInfo, DataInterval, TimeRestriction
from airflow.timetables.interval import CronDataIntervalTimetable
from pendulum import DateTime


class SensingDays(CronDataIntervalTimetable):
    """Days, UTC. Backfills get one run each; the schedule starts none.

    A daily schedule would leave a run behind for every day since the system was installed, and by default a backfill
    passes over days that have one.
    """

    description = "One run for each day of sensing that a backfill asks for"

    def __init__(self, cron: str = "0 0 * * *", timezone: Any = "UTC") -> None:
        """The arguments are those by which Airflow restores a timetable; nobody gives others."""
        super().__init__(cron, timezone)

    @property
    def summary(self) -> str:
        """Short form for the list of DAGs."""
        return "by backfill"

    def next_dagrun_info(
        self, *, last_automated_data_interval: DataInterval | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        """The next day. The scheduler asks with the DAG's ``catchup=False``, a backfill with ``catchup=True``."""
        if not restriction.catchup:
            return None
        return super().next_dagrun_info(
            last_automated_data_interval=last_automated_data_interval, restriction=restriction
        )

    def infer_manual_data_interval(self, *, run_after: DateTime) -> DataInterval:
        """The day of the logical date that was given, as in a backfill; not the day before."""
        start = self._align_to_prev(run_after)
        return DataInterval(start, self._get_next(start))


class SensingDaysPlugin(AirflowPlugin):
    """Makes the timetable known to every component."""

    name = "sensing_days"
    timetables = (SensingDays,)
