"""One interval for each day of sensing, for DAGs that work on the past only when they are asked to."""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin
from airflow.timetables.base import DagRunInfo, DataInterval, TimeRestriction
from airflow.timetables.interval import CronDataIntervalTimetable
from airflow.utils.timezone import utcnow
from pendulum import DateTime, from_timestamp

_SLOT = 300
#: Two minutes past the hour, so that no slot begins at midnight.
_PHASE = 120


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


class PlanningTimes(SensingDays):
    """Backfills get one run for each day of sensing; the schedule starts one every five minutes of the clock.

    No such run begins at midnight, where the days of backfills do: a backfill passes over dates that have a run.
    """

    description = "Every five minutes; one run for each day of sensing that a backfill asks for"

    @property
    def summary(self) -> str:
        """Short form for the list of DAGs."""
        return "every 5 minutes"

    def next_dagrun_info(
        self, *, last_automated_data_interval: DataInterval | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        """The slot that is due or comes next; what was missed while nobody planned is not made up for."""
        if restriction.catchup:
            return super().next_dagrun_info(
                last_automated_data_interval=last_automated_data_interval, restriction=restriction
            )
        now = utcnow().timestamp()
        last = last_automated_data_interval.end.timestamp() if last_automated_data_interval else 0.0
        after = max(min(last, now), now - _SLOT)
        end = int((after - _PHASE) // _SLOT + 1) * _SLOT + _PHASE
        return DagRunInfo.interval(start=from_timestamp(end - _SLOT), end=from_timestamp(end))


class SensingDaysPlugin(AirflowPlugin):
    """Makes the timetables known to every component."""

    name = "sensing_days"
    timetables = (SensingDays, PlanningTimes)
