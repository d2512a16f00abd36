"""Documents say what the code says: every code, source, dependency and command is explained where people look."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from orbitory.catalogue import load
from orbitory.cli import parser
from orbitory.model import REASONS, State
from orbitory.pge_definition import Period, Pge, PgeInput, PgeOutput, Run, Select, Where

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "include" / "orbitory"


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def finding_codes() -> set[str]:
    """Codes that extractors give, as they stand in the source."""
    made = re.compile(r'\b(?:warning|note)\(\s*"([a-z_]+)"|code="([a-z_]+)"')
    return {
        code
        for file in PACKAGE.rglob("*.py")
        for match in made.findall(file.read_text(encoding="utf-8"))
        for code in match
        if code
    }


def test_every_reason_is_explained() -> None:
    explained = set(re.findall(r"^\| `([a-z_]+)` \|", read("docs/findings.md"), re.M))
    assert set(REASONS) <= explained


def test_every_finding_is_explained() -> None:
    codes = finding_codes()
    assert len(codes) > 8, "the search itself must find them"
    explained = set(re.findall(r"^\| `([a-z_]+)` \|", read("docs/findings.md"), re.M))
    assert codes <= explained


def test_every_state_is_in_the_glossary() -> None:
    text = read("docs/glossary.md")
    assert [state for state in State if f"`{state}`" not in text] == []


def test_every_ingest_dag_is_in_the_runbook() -> None:
    text = read("docs/operations.md")
    sources = load(ROOT / "include" / "catalogue").sources
    assert [name for name in sources if f"`ingest_{name}`" not in text] == []


@pytest.mark.parametrize(
    ("section", "model"),
    [
        ("Top of the file", Pge),
        ("`[run]`", Run),
        ("`[period]`", Period),
        ("`[[inputs]]`", PgeInput),
        ("`[[outputs]]`", PgeOutput),
        ("`[where]`", Where),
    ],
)
def test_every_key_of_a_pge_is_explained_with_its_default(section: str, model: type[BaseModel]) -> None:
    text = read("docs/pges.md").partition(f"### {section}\n")[2].partition("\n### ")[0]
    told = {
        key: default
        for keys, default in re.findall(r"^\| (`[^|]*`) \| [^|]+ \| ([^|]*) \|", text, re.M)
        for key in re.findall(r"`([a-z_]+)`", keys)
    }
    tables = {"run", "period", "inputs", "outputs", "where"}
    assert [key for key in model.model_fields if key not in told and key not in tables] == []
    for key, field in model.model_fields.items():
        if isinstance(field.default, int | float) and field.default is not True and field.default is not False:
            assert told[key] == f"{field.default:g}", key
    if model is PgeInput:
        policies = set(re.findall(r"^\| (`[^|]*`) \|[^|]*\|$", text, re.M))
        assert set(get_args(Select)) == {word for each in policies for word in re.findall(r"[a-z_]+", each)} - {"value"}


def test_every_state_of_a_pge_instance_is_in_the_glossary_and_the_runbook() -> None:
    text = (PACKAGE / "inventory" / "migrations" / "0005_pge.sql").read_text(encoding="utf-8")
    states = re.findall(r"'([a-z]+)'", text.partition("CHECK (state IN (")[2].partition("))")[0])
    assert len(states) == 9
    for document in ("docs/glossary.md", "docs/operations.md"):
        assert [state for state in states if f"`{state}`" not in read(document)] == [], document


def test_every_dependency_is_justified() -> None:
    text = read("docs/dependencies.md")
    for file in ("requirements.in", "requirements-dev.in"):
        names = [re.split(r"[\[=<>;]", line)[0].strip() for line in read(file).splitlines() if line[:1].isalpha()]
        assert names
        assert [name for name in names if name not in text] == []


@pytest.mark.parametrize("document", ["README.md", "docs/operations.md", "docs/findings.md", "docs/pges.md"])
def test_every_command_in_a_document_exists(document: str) -> None:
    named = set(re.findall(r"(?:bin/|`)orbitory ([a-z-]+)", read(document)))
    assert named <= verbs()


def verbs() -> set[str]:
    """Verbs of the command line."""
    actions = [action for action in parser()._actions if action.choices and not action.option_strings]
    return {verb for action in actions for verb in (action.choices or ())}


@pytest.mark.parametrize("document", sorted(path.relative_to(ROOT) for path in (ROOT / "docs").glob("*.md")))
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", read(str(document))):
        assert ((ROOT / document).parent / target).exists(), target


def test_the_readme_shows_pictures_that_exist() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", read("README.md")):
        assert (ROOT / target).exists(), target


def test_every_proof_that_the_security_page_names_is_a_test() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", read("SECURITY.md"))
    assert len(named) > 25
    assert [(file, test) for file, test in named if not re.search(rf"^def {test}\(", read(file), re.M)] == []
