"""The private PostgreSQL starts wherever a checkout may stand, and only there."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from orbitory.settings import CHECKOUT
from private_stack.errors import StackError
from private_stack.places import Places
from private_stack.postgres import Cluster
from private_stack.stack import Stack

MakeStack = Callable[[Path], Stack]
as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can take the place of other users")


def value(uri: str, statement: str) -> object:
    with psycopg.connect(uri) as connection:
        row = connection.execute(statement.encode()).fetchone()
    assert row is not None
    return row[0]


def test_a_database_in_a_path_longer_than_a_socket_allows_uses_one_folder_outside_and_removes_it(
    folder: Path, stack_in: MakeStack
) -> None:
    stack = stack_in(folder / ("deep" * 20) / ("er" * 30) / ".orbitory")
    assert len(os.fsencode(stack.places.home)) > 107
    stack.database_up()
    assert value(stack.cluster.uri(), "SELECT count(*) FROM arrival") == 0
    assert stack.places.sockets.parent == stack.places.outside
    assert stack.places.outside.stat().st_mode & 0o777 == 0o700
    stack.clean()
    assert not stack.places.outside.exists()
    assert not stack.places.home.exists()


def test_a_short_path_needs_nothing_outside(folder: Path, stack_in: MakeStack) -> None:
    stack = stack_in(folder / "home")
    stack.cluster.start()
    assert stack.places.sockets.is_relative_to(stack.places.home)
    assert not stack.places.outside.exists()


def test_it_runs_below_a_folder_that_nobody_else_may_enter(folder: Path, stack_in: MakeStack) -> None:
    folder.chmod(0o700)
    stack = stack_in(folder / "home")
    stack.cluster.start()
    assert value(stack.cluster.uri("postgres", "postgres"), "SELECT 1") == 1
    assert stack.cluster.data().is_relative_to(folder)


@as_root
def test_it_runs_below_a_closed_folder_of_another_user(folder: Path, stack_in: MakeStack) -> None:
    shutil.chown(folder, "nobody")
    folder.chmod(0o700)
    stack = stack_in(folder / "home")
    stack.cluster.start()
    assert value(stack.cluster.uri("postgres", "postgres"), "SELECT 1") == 1


@as_root
@pytest.mark.skipif(shutil.which("runuser") is None, reason="runuser is absent")
def test_where_user_namespaces_are_forbidden_another_user_runs_it_outside(
    folder: Path, stack_in: MakeStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = folder / "tools"
    tools.mkdir()
    for name in ("runuser", "sh", "test", "id"):
        (tools / name).symlink_to(str(shutil.which(name)))
    monkeypatch.setenv("PATH", str(tools))  # no unshare here
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    stack = stack_in(closed / "home")
    stack.cluster.start()
    assert value(stack.cluster.uri("postgres", "postgres"), "SELECT 1") == 1
    assert stack.cluster.data().stat().st_uid != 0
    assert stack.cluster.data().stat().st_mode & 0o077 == 0
    assert stack.cluster.stop()
    assert stack.cluster.start(), "a second start finds the same cluster"


@as_root
def test_an_ordinary_user_needs_no_help(folder: Path) -> None:
    python = next((p for p in ("/usr/bin/python3", "/usr/local/bin/python3") if Path(p).exists()), None)
    if python is None or subprocess.run([python, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]).returncode:
        pytest.skip("no Python that another user can run")
    shutil.copytree(CHECKOUT / "bin" / "private_stack", folder / "private_stack")
    shutil.chown(folder, "nobody")
    program = (
        "from pathlib import Path\n"
        "from private_stack.places import Places; from private_stack.postgres import Cluster\n"
        f"places = Places(home=Path({str(folder / 'home')!r})); cluster = Cluster(places)\n"
        "cluster.start(); print(cluster.sql('SELECT 1 + 1')); cluster.stop(); places.remove()"
    )
    done = subprocess.run(
        ["runuser", "-u", "nobody", "--", python, "-c", program],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "2"), done.stderr


def test_it_listens_on_its_socket_alone_and_only_its_owner_may_connect(folder: Path, stack_in: MakeStack) -> None:
    stack = stack_in(folder / "home")
    stack.cluster.start()
    assert value(stack.cluster.uri("postgres", "postgres"), "SHOW listen_addresses") == ""
    assert stack.places.sockets.stat().st_mode & 0o077 == 0
    pid = stack.cluster.pid()
    owned = {str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()}
    for table in ("tcp", "tcp6"):
        listening = {f"socket:[{line.split()[9]}]" for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]}
        assert not owned & listening


def test_two_checkouts_have_two_databases(folder: Path, stack_in: MakeStack) -> None:
    first, second = stack_in(folder / "a"), stack_in(folder / "b")
    first.cluster.start()
    second.cluster.start()
    first.cluster.sql("CREATE DATABASE only_here")
    assert "only_here" not in second.cluster.sql("SELECT datname FROM pg_database")
    assert first.cluster.stop()
    assert second.cluster.pid() is not None


def test_what_was_committed_is_there_after_a_kill_and_a_second_start_changes_nothing(
    folder: Path, stack_in: MakeStack
) -> None:
    stack = stack_in(folder / "home")
    stack.cluster.start()
    assert not stack.cluster.start()
    stack.cluster.sql("CREATE TABLE kept AS SELECT 42 AS n")
    pid = stack.cluster.pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert stack.cluster.start()
    assert stack.cluster.sql("SELECT n FROM kept") == "42"


def test_a_pid_file_that_names_a_stranger_neither_stops_the_start_nor_harms_the_stranger(
    folder: Path, stack_in: MakeStack
) -> None:
    stack = stack_in(folder / "home")
    stack.cluster.start()
    file = stack.cluster.data() / "postmaster.pid"
    lines = file.read_text().splitlines()
    stack.cluster.stop()
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        file.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
        assert stack.cluster.pid() is None
        assert not stack.cluster.stop()
        assert stack.cluster.start()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_the_daily_role_works_on_rows_and_cannot_rewrite_history_or_schema(inventory_uri: str) -> None:
    assert value(inventory_uri, "SELECT count(*) FROM granule") == 0
    for statement in ("DELETE FROM event", "DROP TABLE granule", "CREATE TABLE mine ()"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            value(inventory_uri, statement)


def test_a_folder_prepared_by_somebody_else_is_refused(folder: Path) -> None:
    places = Places(home=folder / ("x" * 120))
    try:
        places.outside.symlink_to(folder)
        with pytest.raises(StackError, match="only we can write"):
            places.make()
    finally:
        places.outside.unlink()


def test_clean_refuses_a_folder_it_did_not_make(folder: Path) -> None:
    (folder / "precious").write_text("data")
    places = Places(home=folder)
    places.make()
    with pytest.raises(StackError, match="was not made by"):
        places.remove()
    assert (folder / "precious").read_text() == "data"


def test_a_missing_server_is_said_with_what_to_do(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = Places(home=folder / "home")
    places.make()
    (places.home / "pg").mkdir()
    (places.home / "pg" / "PG_VERSION").write_text("7\n")
    with pytest.raises(StackError, match=r"no PostgreSQL server 7, which made .* run bin/environment"):
        Cluster(places).start()
