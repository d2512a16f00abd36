"""The message about a failed run: complete, short, and proof against what foreign names and texts hold."""

from __future__ import annotations

import csv
import gzip
import html
import io

import pytest

from orbitory.listing import MOST_PLAIN_BYTES, Listing, list_files
from orbitory.notices import MOST_ERRORS, Story, compose, readable, untold

HOSTILE = "{{7*7}}<script>alert(1)</script>\r\nBcc: spy@example.org\u202egnp.exe\x1b[31m\udcff"


def story(errors: int = 1, name: str = "bad.h5", detail: str = "empty", listing: Listing | None = None) -> Story:
    rows = [
        {"name": name, "reason": "size", "stage": "verify", "detail": detail} for _ in range(min(errors, MOST_ERRORS))
    ]
    return Story(
        source="idps",
        verdict="run 7: 98 detected",
        link="http://127.0.0.1:8080/dags/ingest_idps/runs/manual__2026%2B00",
        run=7,
        seconds=3725.26,
        counts=[
            {"sensor": "VIIRS", "state": "archived", "files": 90, "bytes": 9_000_000},
            {"sensor": "ATMS", "state": "archived", "files": 6, "bytes": 600_000},
            {"sensor": "ATMS", "state": "rejected", "files": errors, "bytes": 10},
            {"sensor": "VIIRS", "state": "stored", "files": 3, "bytes": 0},
        ],
        reasons={"size": errors},
        errors=rows,
        listing=listing,
    )


def row(number: int, name: str = "bad.h5", detail: str = "empty") -> dict[str, object]:
    return {
        **{"id": number, "unit": number, "name": name, "sensor": "ATMS", "size": 0, "state": "rejected"},
        **{"reason": "size", "stage": "verify", "detail": detail, "folder": f"quarantine/idps/{number}"},
    }


def cells(listing: Listing) -> list[list[str]]:
    content = gzip.decompress(listing.content) if listing.name.endswith(".gz") else listing.content
    return list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))


@pytest.mark.req("W8", "N11")
def test_the_message_has_the_counts_the_reasons_the_errors_and_the_link() -> None:
    notice = compose(story(errors=2))
    assert notice.subject == "[Orbitory] ingest of idps failed: 96 archived, 2 rejected, 3 unfinished"
    assert notice.run == 7
    for form in (notice.text, html.unescape(notice.html)):
        for expected in (
            "run 7",
            "96",
            "empty, or not the announced size",
            "bad.h5",
            "verify",
            "/runs/manual__2026%2B00",
        ):
            assert expected in form


@pytest.mark.req("N11")
def test_the_message_has_statistics_by_sensor_the_elapsed_time_bytes_and_rates() -> None:
    notice = compose(story(errors=2))
    lines = [line.split() for line in notice.text.splitlines()]
    assert ["sensor", "archived", "rejected", "unfinished"] in lines
    assert ["VIIRS", "90", "0", "3"] in lines and ["ATMS", "6", "2", "0"] in lines and ["all", "96", "2", "3"] in lines
    assert ["elapsed", "1", "h", "2", "min", "5.3", "s"] in lines
    for form in (notice.text, notice.html):
        assert "9,600,010 (0.0 MB a second)" in form and "9,600,000" in form
    assert '<th align="left">archived</th>' in notice.html and "<td>90</td>" in notice.html


@pytest.mark.req("W8")
def test_of_ten_thousand_errors_the_first_twenty_are_told() -> None:
    notice = compose(story(errors=10_000))
    assert notice.text.count("bad.h5") == notice.html.count("bad.h5") == MOST_ERRORS
    assert "10,000" in notice.text and "The first 20 of the files" in notice.html
    assert len(notice.html) < 20_000


def test_a_hostile_name_is_shown_and_does_nothing() -> None:
    notice = compose(story(name=HOSTILE, detail=HOSTILE))
    assert "<script>" not in notice.html and "&lt;script&gt;" in notice.html
    assert "{{7*7}}" in notice.html and "49" not in notice.html
    for form in (notice.text, notice.html):
        assert "\\r\\nBcc: spy@example.org" in form and "\nBcc" not in form
        assert not {"\r", "\x1b", "\u202e", "\udcff"} & set(form)
        form.encode()


@pytest.mark.fault("F38", how="line breaks in the subject of a mail")
def test_the_subject_is_one_line_of_ascii_whatever_the_verdict_says() -> None:
    notice = compose(untold(source="idps", verdict=HOSTILE, link="http://x/"))
    assert notice.subject == "[Orbitory] ingest of idps failed: no files were counted"
    assert notice.subject.isascii() and notice.subject.isprintable()
    assert "spy@example.org" in notice.text


def test_a_long_text_is_cut_and_says_so() -> None:
    assert readable("x" * 300) == "x" * 300
    assert readable("x" * 301) == "x" * 300 + " …"
    assert len(readable("\n" * 5000)) <= 302


@pytest.mark.req("N11")
def test_the_attached_list_names_every_file_and_the_message_says_so() -> None:
    listing = list_files("orbitory-idps-run-7", (row(number) for number in range(1, 31)))
    assert listing is not None and listing.name == "orbitory-idps-run-7.csv"
    head, *rows = cells(listing)
    assert head[:3] == ["id", "unit", "name"]
    assert [each[0] for each in rows] == [str(number) for number in range(1, 31)]
    assert rows[0] == ["1", "1", "bad.h5", "ATMS", "0", "rejected", "size", "verify", "empty", "quarantine/idps/1"]
    notice = compose(story(errors=30, listing=listing))
    assert notice.attachment is listing
    assert "orbitory-idps-run-7.csv, all 30 files" in notice.text and "all 30 files" in notice.html


def test_where_nothing_was_rejected_nothing_is_attached() -> None:
    assert list_files("x", ()) is None


@pytest.mark.fault("F38", how="formulas in a list for spreadsheets")
@pytest.mark.parametrize("lead", ["=", "+", "-", "@", " =", "\t="])
def test_a_cell_never_is_a_formula(lead: str) -> None:
    listing = list_files("x", [row(1, name=f"{lead}HYPERLINK(1)", detail='"\r\n=1+1')])
    assert listing is not None
    _, (_, _, name, *_, detail, _) = cells(listing)
    assert name.startswith("'" if lead != "\t=" else "\\t")
    assert detail == '"\\r\\n=1+1', "foreign text stays one cell of text on one line"


def test_a_long_list_is_compressed_and_one_that_is_too_long_says_what_it_leaves_out() -> None:
    long = list_files("x", (row(number, detail="e" * 300) for number in range(10_000)))
    assert long is not None and long.name == "x.csv.gz" and long.more == 0
    assert len(cells(long)) == 10_001 and len(gzip.decompress(long.content)) > MOST_PLAIN_BYTES
    most = 300 << 10
    names = (row(number, name=f"{number * 0x9E3779B97F4A7C15 % (1 << 400):0100x}" * 4) for number in range(60_000))
    cut = list_files("x", names, most_bytes=most)
    assert cut is not None and cut.more > 0 and cut.files + cut.more == 60_000
    assert len(cut.content) <= most
    table = cells(cut)
    assert len(table) == cut.files + 2 and table[-1] == [
        f"{cut.more} more lines are left out: this list would be too large for a mail"
    ]
    assert f"the first {cut.files:,} of 60,000 files" in compose(story(listing=cut)).text
