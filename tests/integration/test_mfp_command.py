"""orbitory mfp: evaluate, explain and history, as people and other programs call them."""

from __future__ import annotations

import pytest

from answers import Orbitory
from footprints import Strips


@pytest.mark.req("N9")
def test_evaluate_tells_rows_findings_and_coverage_and_ends_with_4_on_errors(
    archive: Strips, orbitory: Orbitory
) -> None:
    archive.make(10)
    archive.make(10, sensor="WV01", prefix="102", first=1000)
    sound = orbitory("mfp", "evaluate", "--json")
    assert sound.status == 0, sound.err
    assert sound.json["rows"] == 20 and sound.json["findings"] == []
    assert set(sound.json["coverage"]["sensors"]) == {"WV01", "WV02"}
    archive.sql(
        "UPDATE footprint_master SET shape = NULL WHERE granule_id = (SELECT min(granule_id) FROM footprint_master)"
    )
    faulty = orbitory("mfp", "evaluate", "--json")
    assert faulty.status == 4 and "E05 1" in faulty.err
    (finding,) = faulty.json["findings"]
    assert {name: finding[name] for name in ("code", "level", "reason")} == {
        "code": "E05",
        "level": "error",
        "reason": "there is no footprint",
    }
    assert finding["key"].startswith("strip/10JAN01")
    shown = orbitory("mfp", "evaluate", "--sensor", "WV02", "--area", "-170,-60,170,60")
    assert shown.status == 4 and "there is no footprint" in shown.out and "WV01" not in shown.out
    history = orbitory("mfp", "history", "--json").json
    assert [row["verdict"] for row in history] == ["failed", "failed", "success"]
    assert history[0]["counts"]["rows"] == 10
    assert "failed" in orbitory("mfp", "history").out


@pytest.mark.req("N12")
@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--linux-root", "css"), "linux_root is 'css'"),
        (("--overlap", "1.5"), "overlap is 1.5"),
        (("--target-day", "02-30"), "target_day is '02-30'"),
        (("--environment", "mars"), "environment is 'mars'"),
        (("--area", "1,2,3"), "area '1,2,3' is none"),
        (("--sensor", "QB02"), "no footprint is of sensor 'QB02'"),
        (("--sample", "1000000"), "sample is 1000000"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_by_its_name(
    archive: Strips, orbitory: Orbitory, options: tuple[str, ...], told: str
) -> None:
    archive.make(5)
    refused = orbitory("mfp", "evaluate", *options)
    assert refused.status == 2 and told in refused.err
    assert archive.sql("SELECT FROM mfp_run") == []


@pytest.mark.req("N12")
def test_paths_are_held_against_the_root_that_is_given(archive: Strips, orbitory: Orbitory) -> None:
    archive.make(5)
    other = orbitory("mfp", "evaluate", "--linux-root", "/att/pubrepo/NGA/", "--json")
    assert {finding["code"] for finding in other.json["findings"]} == {"E02"} and len(other.json["findings"]) == 5


@pytest.mark.req("N5", "N9")
def test_explain_says_why_the_one_won_each_term_each_loser_and_what_would_change_it(
    archive: Strips, orbitory: Orbitory
) -> None:
    archive.make(5)
    old = min(archive.preferred())
    new = archive.again(old, "500060999100_01", cloudcover=0.3)
    catalog = archive.sql("SELECT catalog_id FROM footprint_master WHERE granule_id = %(n)s", n=old)[0]["catalog_id"]
    due = orbitory("mfp", "explain", catalog.lower(), "--json").json
    by_id = {each["granule"]: each for each in due}
    assert len(due) == 6
    assert by_id[old]["p_filepath"] == by_id[old]["s_filepath"].replace("/css/nga/", "P:/data/")
    assert by_id[old]["preferred"] and not by_id[new]["preferred"] and by_id[new]["preferred_now"]
    assert by_id[new]["keeper"] == by_id[old]["key"] and by_id[new]["reason"] == "re-order"
    assert "The tables still say otherwise: the next evaluation moves it." in by_id[new]["words"]
    assert [term["name"] for term in by_id[old]["score"]["terms"]] == ["cloud", "sun", "off-nadir"]
    assert orbitory("mfp", "evaluate").status == 0
    told = orbitory("mfp", "explain", catalog)
    assert told.status == 0
    assert "most by cloud: 0 against 0.3 (+14.4 points)" in told.out
    assert "cloud 0.3: 33.6 of 48" in told.out
    assert "It is the only one: no other order shows the same scene." in told.out
    assert "It would be preferred with" in told.out and "The tables still say otherwise" not in told.out
    nobody = orbitory("mfp", "explain", "1030010000000BAD")
    assert nobody.status == 2 and "no footprint is of catalog id '1030010000000BAD'" in nobody.err


def test_explain_does_what_it_says_a_loser_needs(archive: Strips, orbitory: Orbitory) -> None:
    """The promise is kept: with the attribute that was named it wins."""
    archive.make(5)
    old = min(archive.preferred())
    for search, name in (({"sun_elev": 20.0}, "sun"), ({"off_nadir": 25.0}, "off-nadir")):
        new = archive.again(old, f"50006099{len(name):02}00_01", **search)
        catalog = archive.sql("SELECT catalog_id FROM footprint_master WHERE granule_id = %(n)s", n=old)[0][
            "catalog_id"
        ]
        (each,) = [each for each in orbitory("mfp", "explain", catalog, "--json").json if each["granule"] == new]
        (needed,) = [words for words in each["words"] if words.startswith("It would be preferred with")]
        word = needed.split(f"{name} ", 1)[1]
        value = float(word.split()[1]) + (0.2 if word.startswith("above") else -0.2)
        key = next(iter(search))
        archive.sql(
            "UPDATE granule SET search = search || jsonb_build_object(%(k)s::text, %(v)s::float) WHERE id = %(n)s",
            k=key,
            v=value,
            n=new,
        )
        archive.follow()
        (each,) = [each for each in orbitory("mfp", "explain", catalog, "--json").json if each["granule"] == new]
        assert each["preferred"]
        archive.sql("UPDATE granule SET state = 'deleted' WHERE id = %(n)s", n=new)
        archive.follow()
