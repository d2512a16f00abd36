"""An upload's form is written once, read strictly, and says the same to its schema, its document and its reader."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from orbitory.catalogue import Catalogue, load
from orbitory.definitions import Classification
from orbitory.errors import ConfigurationError, DataError
from orbitory.extract.upload import read_form
from orbitory.names.uploads import upload_identity
from orbitory.settings import CHECKOUT
from orbitory.upload_form import CLASSES, DEFAULT_EXPIRES, ELEMENTS, UploadForm, days_of, refusal, written
from orbitory.uploads import Terms, check_terms

DOCUMENT = CHECKOUT / "docs" / "upload.md"
NOON = datetime(2024, 2, 10, 12, tzinfo=UTC)


def form(**changes: Any) -> UploadForm:
    given: dict[str, Any] = {
        **{"file": "a.nc", "size": 3, "product_type": "user_data", "keep_days": 34, "sender": "anna", "created": NOON},
        **changes,
    }
    return UploadForm(**given)


def xml(**texts: str | None) -> bytes:
    """A form, element by element; None leaves one out."""
    usual = {
        "file": "a.nc",
        "size": "3",
        "type": "user_data",
        "expires": "34d",
        "sender": "anna",
        "created": "2024-02-10T12:00:00Z",
    }
    body = "".join(f"<{name}>{text}</{name}>" for name, text in (usual | texts).items() if text is not None)
    return f'<upload version="1">{body}</upload>'.encode()


def refused(data: bytes) -> DataError:
    with pytest.raises(DataError) as caught:
        read_form(data)
    return caught.value


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load(CHECKOUT / "include" / "catalogue")


@pytest.fixture(scope="module")
def schema() -> etree.XMLSchema:
    return etree.XMLSchema(etree.parse(str(CHECKOUT / "docs" / "upload.xsd")))


# What is written is read


LINE = st.text(st.characters(blacklist_categories=("Cc", "Cs", "Cn")), max_size=40).map(str.strip)


@given(
    file=st.text(
        st.characters(blacklist_categories=("Cc", "Cs", "Cn"), blacklist_characters="/"), min_size=1, max_size=60
    ),
    title=LINE,
    sender=LINE.filter(bool),
    days=st.integers(1, 36_500),
    classification=st.sampled_from((None, *CLASSES)),
)
def test_what_is_written_is_read_again(
    file: str, title: str, sender: str, days: int, classification: str | None
) -> None:
    told = form(file=file, title=title, sender=sender, keep_days=days, classification=classification, sha256="0a" * 32)
    assert read_form(written(told)) == told


def test_every_form_we_write_is_valid_by_the_schema(schema: etree.XMLSchema) -> None:
    full = form(
        file=" ü & <b> .nc", classification="licensed", sha256="ab" * 32, title="A title", comment="two\nlines <&>"
    )
    for each in (form(), full):
        schema.assertValid(etree.fromstring(written(each)))
    assert read_form(written(full)) == full


def test_the_document_shows_a_form_that_is_read_and_valid(schema: etree.XMLSchema) -> None:
    (shown,) = re.findall(r"```xml\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    schema.assertValid(etree.fromstring(shown.encode()))
    told = read_form(shown.encode())
    assert (told.file, told.keep_days, told.classification) == ("ozone 2024.nc", 34, "licensed")
    explained = re.findall(r"^\| `([a-z0-9]+)` \|( required)? ?\|", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    assert {name: bool(needed) for name, needed in explained} == ELEMENTS


def test_schema_and_reader_refuse_the_same(schema: etree.XMLSchema) -> None:
    assert schema.validate(etree.fromstring(xml()))
    for name, needed in ELEMENTS.items():
        assert schema.validate(etree.fromstring(xml(**{name: None}))) is not needed
        if needed:
            assert name in refused(xml(**{name: None})).detail
    for name, texts in WRONG.items():
        for text in texts:
            assert not schema.validate(etree.fromstring(xml(**{name: text}))), (name, text)
            assert refused(xml(**{name: text})).code == "metadata", (name, text)


#: Python's own reader takes them for times; the last for one with digits that it drops.
TIMES = ("20240210T120000Z", "2024-W06-6T12:00:00Z", "2024-02-10 12Z", f"2024-02-10T12{'5' * 60}:00:00Z")
WRONG = {
    "file": ("", "a/b.nc", "x" * 201),
    "size": ("", "0", "-3", "three", "1" * 19),
    "expires": ("", "0d", "-1d", "34", "34 d", "1.5d", "d", "100000d", "34h"),
    "class": ("", "secret", "ITAR"),
    "sender": ("", "x" * 101),
    "created": ("", "yesterday", "2024-02-10T12:00:00", "2024-02-30T12:00:00Z", *TIMES),
    "sha256": ("", "00", "g" * 64),
    "title": ("x" * 201,),
    "comment": ("x" * 2001,),
}


# What is refused


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "damaged XML"),
        (b"hello", "damaged XML"),
        (xml()[:-5], "damaged XML"),
        (xml() + xml(), "damaged XML"),
        (b'<form version="1"/>', "begins with <form>"),
        (xml().replace(b'version="1"', b'version="2"'), "version '2'"),
        (xml().replace(b' version="1"', b""), "version None"),
        (xml().replace(b"<upload ", b'<upload a="b" '), "2 attributes"),
        (xml(typ="x"), "holds <typ>"),
        (xml().replace(b"</upload>", b"<size>3</size></upload>"), "holds <size> twice"),
        (xml(title="<b>x</b>"), "<title> holds elements"),
        (xml().replace(b"<size>", b"<size a='b'>"), "<size> holds"),
        (xml().replace(b"<size>", b"free text<size>"), "text between"),
        (xml(title=b"\x01".decode()), "damaged XML"),
        (b'<?xml version="1.0" encoding="UTF-16"?>'.decode().encode("utf-16"), "is not UTF-8"),
        (xml(title="&undeclared;"), "damaged XML"),
        (xml(title="one\ntwo"), "more than one line"),
    ],
)
def test_a_form_that_is_not_as_the_schema_says_is_refused_with_the_reason(data: bytes, words: str) -> None:
    error = refused(data)
    assert error.code == "metadata"
    assert words in error.detail


SECRET = "file:///etc/passwd"


@pytest.mark.fault("F36", how="document types and entities in a form")
@pytest.mark.parametrize(
    "prologue",
    [
        f'<!DOCTYPE upload [<!ENTITY x SYSTEM "{SECRET}">]>',
        f'<!DOCTYPE upload SYSTEM "{SECRET}">',
        f'<!DOCTYPE upload [<!ENTITY % x SYSTEM "{SECRET}"> %x;]>',
        '<!DOCTYPE upload [<!ENTITY a "aaaaaaaaaa"><!ENTITY x "&a;&a;&a;&a;&a;&a;&a;&a;">]>',
        "<!doctype upload>",
    ],
)
@pytest.mark.req("N14")
def test_a_form_with_a_document_type_is_refused_before_it_is_parsed(prologue: str) -> None:
    error = refused(prologue.encode() + xml(title="&x;"))
    assert error.code == "policy"
    assert "document types and entities are not accepted" in error.detail


@pytest.mark.fault("F36", how="a form that declares another encoding")
def test_what_a_form_declares_about_its_encoding_hides_nothing() -> None:
    for encoding in ("UTF-7", "UTF-16", "IBM037", "ISO-2022-JP"):
        data = f'<?xml version="1.0" encoding="{encoding}"?>'.encode() + xml(title="+ADw-!DOCTYPE")
        try:
            assert read_form(data).title == "+ADw-!DOCTYPE"
        except DataError as error:
            assert error.code == "metadata"


# Terms


def test_expiry_is_told_in_days_or_weeks() -> None:
    assert (days_of("34d"), days_of("5w"), days_of(DEFAULT_EXPIRES)) == (34, 35, 34)
    for wrong in ("0d", "34", "-1d", "1.5d", "34h", "6000w", "", "d"):
        with pytest.raises(ValueError, match=r"such as 34d or 2w"):
            days_of(wrong)


def test_an_unknown_type_and_a_longer_stay_than_allowed_are_refused_with_what_would_do() -> None:
    limits = {"user_data": 180, "forever": 0}
    assert refusal("user_data", 180, limits) is None
    assert refusal("forever", 36_500, limits) is None
    unknown, longer = refusal("userdata", 1, limits), refusal("user_data", 181, limits)
    assert unknown == "type is 'userdata': expected forever, user_data; did you mean 'user_data'?"
    assert longer == "expires is 181 days: user_data is kept for at most 180"


def terms(**changes: Any) -> Terms:
    given: dict[str, Any] = {"product_type": "user_data", "keep_days": 34, "sender": "anna", **changes}
    return Terms(**given)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"product_type": "viirs_sdr"}, "type is 'viirs_sdr': expected in_situ, model_output, user_data"),
        ({"keep_days": 181}, "user_data is kept for at most 180"),
        ({"classification": "secret"}, "class is 'secret': expected unrestricted, proprietary, licensed, itar"),
        ({"title": "two\nlines"}, "title has more than one line"),
        ({"comment": "x" * 2001}, "comment has 2001 characters"),
        ({"title": "\udcff"}, "title holds U+DCFF"),
    ],
)
@pytest.mark.req("G21")
def test_terms_that_are_not_given_are_explained(catalogue: Catalogue, changes: dict[str, Any], words: str) -> None:
    source = catalogue.source("upload")
    check_terms(terms(), source, catalogue)
    with pytest.raises(ConfigurationError, match=re.escape(words)):
        check_terms(terms(**changes), source, catalogue)


def test_a_source_without_forms_takes_no_uploads(catalogue: Catalogue) -> None:
    with pytest.raises(ConfigurationError, match="takes no uploads"):
        check_terms(terms(), catalogue.source("correlative"), catalogue)


@pytest.mark.req("G20")
def test_the_classes_are_those_of_the_catalogue_and_the_default_is_the_most_restricted(catalogue: Catalogue) -> None:
    assert get_args(Classification) == CLASSES
    source = catalogue.source("upload")
    for kind in catalogue.types_of(source):
        assert catalogue.classification(source, kind) == CLASSES[-1]


def test_every_type_of_upload_has_a_longest_stay_that_the_default_keeps(catalogue: Catalogue) -> None:
    source = catalogue.source("upload")
    for kind in catalogue.types_of(source):
        assert kind.keep_days is not None and kind.keep_days >= days_of(DEFAULT_EXPIRES)


# Names


@pytest.mark.parametrize(
    ("name", "unit", "role"),
    [
        ("a.nc", "upload/a.nc", "data"),
        ("x/y/a.nc", "upload/a.nc", "data"),
        ("a.nc.upload.xml", "upload/a.nc", "metadata"),
        ("a.upload.xml.nc", "upload/a.upload.xml.nc", "data"),
        (".upload.xml", "upload/.upload.xml", "data"),
        ("upload.xml", "upload/upload.xml", "data"),
    ],
)
def test_a_file_and_its_form_are_one_unit(catalogue: Catalogue, name: str, unit: str, role: str) -> None:
    identity = upload_identity(name, catalogue.source("upload"), catalogue)
    assert (identity.unit, identity.role) == (unit, role)
    assert identity.product_type in catalogue.source("upload").products


def test_forms_are_read_in_the_isolated_child_alone() -> None:
    """Nothing on our side imports the reader, or lxml at all."""
    reading = re.compile(
        r"^\s*(?:from|import) (?:lxml|orbitory\.extract\.upload|orbitory\.extract import .*upload)", re.M
    )
    package = CHECKOUT / "include" / "orbitory"
    importers = {str(file.relative_to(package)) for file in package.rglob("*.py") if reading.search(file.read_text())}
    assert all(name.startswith("extract/") for name in importers), importers
