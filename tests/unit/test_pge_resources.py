"""Whose turn it is: capacity, priority, fairness, and small jobs beside large ones, on a simulated clock."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbitory.pge.resources import PATIENCE_SECONDS, Handed, Waiting, choose, slots_of


@dataclass(frozen=True, slots=True)
class Job:
    seconds: float
    cpus: int = 1
    priority: int = 50
    pge: str = "a"
    arrives: float = 0.0


def simulate(jobs: list[Job], capacity: int) -> tuple[dict[int, float], float, int]:
    """Start of each job, the end of the last, and the most processors ever in use."""
    now, starts, most = 0.0, dict[int, float](), 0
    ends: dict[int, float] = {}
    while len(starts) < len(jobs):
        running = {number for number, end in ends.items() if end > now}
        busy = Counter[str]()
        for number in running:
            busy[jobs[number].pge] += min(jobs[number].cpus, capacity)
        waiting = [
            Waiting(id=n, pge=j.pge, cpus=j.cpus, priority=j.priority, waited_seconds=now - j.arrives)
            for n, j in enumerate(jobs)
            if n not in starts and j.arrives <= now
        ]
        for number in choose(waiting, busy, capacity):
            starts[number], ends[number] = now, now + jobs[number].seconds
        in_use = sum(min(jobs[n].cpus, capacity) for n, end in ends.items() if end > now)
        most = max(most, in_use)
        assert in_use <= capacity
        upcoming = [end for end in ends.values() if end > now] + [j.arrives for j in jobs if j.arrives > now]
        now = min(upcoming) if upcoming else now + 1
    return starts, max(ends.values()), most


@pytest.mark.req("G14")
def test_twenty_jobs_on_two_nodes_of_three_reach_six_at_once_and_never_more() -> None:
    starts, end, most = simulate([Job(60.0) for _ in range(20)], 6)
    assert most == 6 and end == 4 * 60.0
    assert list(starts.values()) == sorted(starts.values()), "first come, first served within a priority"


@pytest.mark.req("G16")
def test_unequal_jobs_at_once_take_as_long_as_the_longest() -> None:
    jobs = [Job(20.0 * 60), Job(20.0 * 60), Job(20.0 * 60), Job(36.7 * 60, pge="sst")]
    assert simulate(jobs, 6)[1] == 36.7 * 60


@pytest.mark.req("R7")
def test_short_jobs_go_beside_a_long_one_that_waits_for_room_and_all_ends_sooner_than_in_strict_order() -> None:
    jobs = [Job(600.0, cpus=4), Job(900.0, cpus=5), *[Job(100.0) for _ in range(12)]]
    starts, end, _ = simulate(jobs, 6)
    strict = 600.0 + 900.0 + 12 * 100.0  # the wide one waits for the first, and leaves one processor to the short ones
    assert end < strict
    assert starts[1] == 600.0, "what went beside it did not delay it"
    assert sum(start < 600.0 for start in starts.values()) >= 10


@pytest.mark.req("R7")
def test_a_wide_job_is_not_passed_for_ever() -> None:
    jobs = [Job(50.0, arrives=n * 10.0, pge="small") for n in range(400)]
    wide = len(jobs)
    starts, _, _ = simulate([*jobs, Job(60.0, cpus=4, pge="wide")], 4)
    assert starts[wide] <= PATIENCE_SECONDS + 2 * 50.0


def test_the_important_go_first_and_waiting_makes_important() -> None:
    ready = [
        Waiting(id=1, pge="a", cpus=1, priority=10, waited_seconds=0),
        Waiting(id=2, pge="a", cpus=1, priority=90, waited_seconds=0),
        Waiting(id=3, pge="a", cpus=1, priority=10, waited_seconds=90 * 360),
    ]
    assert choose(ready, {}, 3) == [3, 2, 1]


def test_among_equals_the_pge_that_runs_least_goes_first() -> None:
    ready = [Waiting(id=n, pge="many", cpus=1, priority=50, waited_seconds=9) for n in range(10)]
    ready.append(Waiting(id=10, pge="few", cpus=1, priority=50, waited_seconds=1))
    assert choose(ready, {"many": 3}, 6) == [10, 0, 1]


def test_a_job_wider_than_the_machine_runs_alone() -> None:
    wide = Waiting(id=1, pge="w", cpus=64, priority=50, waited_seconds=0)
    assert choose([wide], {}, 6) == [1]
    assert choose([wide], {"a": 1}, 6) == []


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(0, 100), st.sampled_from("abc"), st.floats(0, 1e5))),
    st.integers(1, 12),
    st.randoms(use_true_random=False),
)
def test_the_choice_fits_holds_nobody_twice_and_does_not_depend_on_the_order_given(
    jobs: list[tuple[int, int, str, float]], capacity: int, shuffler: random.Random
) -> None:
    ready = [
        Waiting(id=n, pge=pge, cpus=cpus, priority=priority, waited_seconds=waited)
        for n, (cpus, priority, pge, waited) in enumerate(jobs)
    ]
    chosen = choose(ready, {}, capacity)
    assert len(set(chosen)) == len(chosen)
    assert sum(min(ready[n].cpus, capacity) for n in chosen) <= capacity
    assert chosen or not ready
    shuffler.shuffle(ready)
    assert choose(ready, {}, capacity) == chosen


def test_a_run_is_called_so_that_people_know_it() -> None:
    handed = Handed(id=7, pge="viirs_quicklook", period_key="NPP/VIIRS-M1-SDR/NPP0006 x", tries=0)
    assert handed.run_id == "viirs_quicklook-NPP-VIIRS-M1-SDR-NPP0006-x-7"


def test_all_queues_together_use_two_fifths_of_what_runs_at_once_but_each_at_least_one() -> None:
    assert [slots_of(n) for n in (1, 2, 5, 10)] == [1, 1, 2, 4]
    assert [slots_of(n, 3) for n in (5, 10, 30)] == [1, 1, 4]
