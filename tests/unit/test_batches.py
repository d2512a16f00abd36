"""Batches are bounded, by sensor, and never separate arrivals that may hold the same granule."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from orbitory.ingest.batches import LEAST_FILES, MOST_BATCHES, Bounds, cut
from orbitory.ingest.units import Candidate, Part, Unit
from orbitory.model import Identity, Stat, State

T = datetime(2026, 1, 1, tzinfo=UTC)


def unit(
    name: str, sensor: str = "VIIRS", start: int | None = None, seconds: int = 85, size: int = 10, key: str = ""
) -> Unit:
    begin = T + timedelta(seconds=start) if start is not None else None
    file = Candidate(
        path=name.encode(), name=name, stat=Stat(1, 1, size, 0, 0), regular=True, age=99, waited=0, unchanged=0
    )
    identity = Identity(
        form="idps",
        product_type="viirs_sdr",
        products=("SVM01",),
        sensor=sensor,
        sensing_start=begin,
        sensing_end=begin + timedelta(seconds=seconds) if begin else None,
        unit=key,
    )
    return Unit(parts=[Part(file=file, role="data", identity=identity)], state=State.DETECTED)


def names(slices: list) -> list[list[str]]:
    return [[each.main.name for each in part.units] for part in slices]


def test_a_batch_holds_one_sensor() -> None:
    slices = cut([unit("a", "VIIRS"), unit("b", "ATMS")], Bounds(files=100, bytes=1000))
    assert sorted(part.partition for part in slices) == ["ATMS", "VIIRS"]


def test_batches_are_bounded_by_files_and_by_bytes() -> None:
    units = [unit(f"{n:02}", start=n * 100) for n in range(10)]
    assert [part.files for part in cut(units, Bounds(files=4, bytes=1000))] == [2, 4, 4]
    assert [part.files for part in cut(units, Bounds(files=100, bytes=35))] == [1, 3, 3, 3]


def test_the_newest_sensing_time_comes_first() -> None:
    units = [unit(f"{n}", start=n * 100) for n in range(4)]
    assert names(cut(units, Bounds(files=2, bytes=1000))) == [["2", "3"], ["0", "1"]]


def test_arrivals_that_overlap_in_time_stay_together_even_above_the_bound() -> None:
    single = [unit(f"single{n}", start=n * 85) for n in range(4)]
    aggregate = unit("aggregate", start=0, seconds=4 * 85)
    other = unit("later", start=1000)
    parts = cut([*single, other, aggregate], Bounds(files=2, bytes=1000))
    assert sorted(len(part.units) for part in parts) == [1, 5]


def test_two_copies_of_a_moment_stay_together() -> None:
    copies = [unit("copy1", start=0, seconds=0), unit("copy2", start=0, seconds=0)]
    assert len(cut(copies, Bounds(files=1, bytes=1000))) == 1


def test_several_workers_get_smaller_batches_but_not_tiny_ones() -> None:
    bounds = Bounds(files=20_000, bytes=1 << 33)
    assert bounds.shared_among(1, 12_000) == bounds
    assert bounds.shared_among(8, 12_000).files == 750
    assert bounds.shared_among(8, 40).files == LEAST_FILES


def test_a_run_never_has_more_batches_than_airflow_maps() -> None:
    units = [unit(f"{n:04}", start=n * 100) for n in range(MOST_BATCHES + 50)]
    assert len(cut(units, Bounds(files=1, bytes=1000))) == MOST_BATCHES


@given(
    st.lists(st.tuples(st.sampled_from(["VIIRS", "ATMS"]), st.none() | st.integers(0, 500), st.integers(0, 200))),
    st.integers(1, 10),
)
def test_every_unit_is_in_exactly_one_batch_and_overlaps_are_never_cut(
    drawn: list[tuple[str, int | None, int]], files: int
) -> None:
    units = [unit(f"{n}", sensor, start, seconds) for n, (sensor, start, seconds) in enumerate(drawn)]
    slices = cut(units, Bounds(files=files, bytes=10_000))
    placed = {each.main.name: number for number, part in enumerate(slices) for each in part.units}
    assert sorted(placed) == sorted(each.main.name for each in units)
    for one in units:
        for two in units:
            if (
                one.sensor == two.sensor
                and one.span
                and two.span
                and one.span[0] < two.span[1]
                and two.span[0] < one.span[1]
            ):
                assert placed[one.main.name] == placed[two.main.name]


def test_copies_of_one_scene_go_to_one_batch_whatever_their_names_tell() -> None:
    one = unit("a", sensor="WV02", start=100, seconds=0, key="scene")
    other = unit("b", sensor="strip", start=101, seconds=0, key="scene")
    between = unit("c", sensor="WV02", start=100, seconds=0)
    slices = cut([one, other, between, unit("d", sensor="WV02", start=5)], Bounds(files=1, bytes=10**9))
    assert [sorted(each.main.name for each in part.units) for part in slices] == [["a", "b", "c"], ["d"]]
