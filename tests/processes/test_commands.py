"""Management commands under expected conditions: a sentence that says what to do, no traceback, nothing left behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import ROOT, SECRET, free_port
from tests.support.waiting import patient

MANAGE = str(ROOT / "manage.py")


def run(*arguments: str, folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """The command's end, run with `folder` as the current one."""
    clean = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "LANG": "C.UTF-8", **env}
    return subprocess.run(
        [sys.executable, *arguments], check=False, cwd=folder, env=clean, text=True, capture_output=True,
        stdin=subprocess.DEVNULL, timeout=patient(120),
    )  # fmt: skip


def refusal(*arguments: str, folder: Path, **env: str) -> str:
    """What a command said that could not do its work."""
    done = run(MANAGE, *arguments, folder=folder, **env)
    assert done.returncode not in {0, 130}, done.stdout
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with an up-to-date database."""
    folder = tmp_path_factory.mktemp("migrated")
    done = run(MANAGE, "migrate", "--verbosity", "0", folder=folder, DATA_DIR=str(folder))
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize(
    "command",
    [
        ["create_api_key", "demo@example.com"],
        ["changepassword", "demo@example.com"],
        ["relay"],
        ["migrate", "--check"],
    ],
    ids=lambda command: command[0],
)
def test_without_a_database_a_command_says_where_it_looked_and_leaves_nothing(
    command: list[str], tmp_path: Path
) -> None:
    said = refusal(*command, folder=tmp_path)
    assert f"{tmp_path / 'var'} has no database yet" in said
    assert "make run" in said
    assert "DATA_DIR" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [["openapi", "--check"], ["check"]])
def test_what_needs_no_database_makes_none(command: list[str], tmp_path: Path) -> None:
    done = run(MANAGE, *command, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_migrate_makes_the_database_and_a_secret_key_that_stays(migrated: Path) -> None:
    assert {path.name for path in migrated.iterdir()} >= {"comfysaas.sqlite3", "secret_key"}
    key = (migrated / "secret_key").read_text()
    code = "from django.conf import settings; print(settings.SECRET_KEY)"
    done = run(MANAGE, "shell", "--verbosity", "0", "-c", code, folder=migrated, DATA_DIR=str(migrated))
    assert done.stdout.strip() == key


def test_a_database_without_this_versions_tables_wants_migrate(tmp_path: Path) -> None:
    (tmp_path / "comfysaas.sqlite3").touch()
    said = refusal("create_api_key", "demo@example.com", folder=tmp_path, DATA_DIR=str(tmp_path))
    assert "Run `manage.py migrate`" in said


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "comfysaas.sqlite3").write_text("something else entirely " * 100)
    said = refusal("starters", folder=tmp_path, DATA_DIR=str(tmp_path))
    assert "The database cannot be used: file is not a database" in said


def test_a_data_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = refusal("standalone", folder=tmp_path, DATA_DIR=str(tmp_path / "file" / "data"), PORT=str(free_port()))
    assert f"DATA_DIR={tmp_path / 'file' / 'data'}" in said


def test_a_postgresql_that_does_not_answer_is_named_without_its_password(tmp_path: Path) -> None:
    port = free_port()
    url = f"postgresql://somebody:topsecret@127.0.0.1:{port}/name"
    said = refusal("create_api_key", "a@example.com", folder=tmp_path, DATABASE_URL=url, SECRET_KEY=SECRET)
    assert "PostgreSQL does not answer" in said
    assert "check DATABASE_URL" in said
    assert f"port {port}" in said
    assert "topsecret" not in said


def test_an_s3_that_does_not_answer_is_named(tmp_path: Path) -> None:
    s3 = {
        "S3_BUCKET": "results",
        "S3_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}",
        "S3_ACCESS_KEY_ID": "key",
        "S3_SECRET_ACCESS_KEY": "topsecret",
    }
    said = refusal("create_bucket", folder=tmp_path, **s3)
    assert "The bucket “results” cannot be read or created" in said
    assert s3["S3_ENDPOINT_URL"] in said


@pytest.mark.parametrize(
    ("env", "says"),
    [
        ({"PORT": "many"}, "PORT: "),
        ({"DATABASE_URL": "mydatabase", "SECRET_KEY": SECRET}, "DATABASE_URL: "),
        ({"DATABASE_URL": "postgresql://127.0.0.1/x"}, "SECRET_KEY is required"),
    ],
)
def test_a_wrong_setting_is_named(env: dict[str, str], says: str, tmp_path: Path) -> None:
    said = refusal("standalone", folder=tmp_path, **env)
    assert "Cannot start" in said
    assert says in said
    assert list(tmp_path.iterdir()) == []


def test_a_question_without_a_terminal_says_so(migrated: Path) -> None:
    make = "from accounts.models import User; User.objects.create_user('asked@example.com', None)"
    run(MANAGE, "shell", "--verbosity", "0", "-c", make, folder=migrated, DATA_DIR=str(migrated))
    said = refusal("changepassword", "asked@example.com", folder=migrated, DATA_DIR=str(migrated))
    assert "Run it in a terminal" in said


def test_a_port_that_cannot_be_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    assert "PORT: Input should be less than or equal to 65535" in refusal(
        "standalone", "--port", "99999", folder=tmp_path
    )
    assert list(tmp_path.iterdir()) == []


def test_an_old_python_is_named(tmp_path: Path) -> None:
    code = (
        "import runpy, sys; sys.version_info = (3, 9, 2); sys.version = '3.9.2 (main)';"
        f"sys.argv = ['manage.py', 'check']; runpy.run_path({MANAGE!r}, run_name='__main__')"
    )
    done = run("-c", code, folder=tmp_path)
    assert done.returncode == 1
    assert "needs Python 3.11 or newer, and this is 3.9.2. Run `make install`" in done.stderr


def test_a_python_without_the_packages_is_named(tmp_path: Path) -> None:
    done = run("-S", MANAGE, "check", folder=tmp_path)  # without site-packages
    assert done.returncode == 1
    assert f"is not installed for {sys.executable}. Run `make install`" in done.stderr
    assert "Traceback" not in done.stderr


def test_terminal_that_lacks_a_character_stops_no_command(migrated: Path, tmp_path: Path) -> None:
    (tmp_path / "Kätzchen 🐈.json").write_text('{"1": {"class_type": "Kätzchen", "inputs": {}}}', encoding="utf-8")
    arguments = ("import_workflows", str(tmp_path), "--dry-run")
    done = run(MANAGE, *arguments, folder=tmp_path, DATA_DIR=str(migrated), PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert "1 made." in done.stdout and "K\\xe4tzchen \\U0001f408.json" in done.stdout
