"""The search index proposes the same generations on both databases, and stays in step with their texts."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

from accounts.models import User
from generations.lifecycle.services import searchable
from generations.models import Generation, Status, searching
from tests.support.factories import make_generation, own

TEXTS = (
    "a red fox", "The FOX's den", "an old lighthouse, masterpiece", "100% wool", "100 wool", "snake_case", "snakeXcase",
    'she said "no"', "it's", "back\\slash", "(masterpiece:1.2)", "猫と東京タワー", "東京 夜景", "一只红色的狐狸",
    "Straße", "STRASSE 12", "İstanbul", "naïve café", "a  b\tc", "---", "ab", "🦊🦊🦊 emoji", "x" * 300, "",
    "NEAR AND OR NOT",
)  # fmt: skip
TERMS = (
    "fox", "FOX", "ox", "o", "red fox", "fox red", "zzyzx", "light", "lighthouse", "house,", "b", "ab", "and not",
    "near", "a b c", "%", "100%", "%wool", "_", "e_c", "snake_case", "snake%case", '"', '"no"', "'", "'s den", "\\",
    "back\\",
    "(masterpiece:1.2)", "masterpiece:", "---", "--", "*", "fo*", "^fox", "text:fox", "-fox", "+", "",
    "猫", "東京", "東京タワー", "タワー", "红色", "红色的狐", "🦊", "🦊🦊🦊", "🦊🦊🦊🦊",
    "strasse", "STRASSE", "ß", "i̇stanbul", "istanbul", "café", "cafe", "x" * 300, "x" * 301,
)  # fmt: skip
FINISHED = itertools.cycle((Status.SUCCEEDED, Status.QUEUED, Status.FAILED, Status.RUNNING, Status.CANCELED))


@pytest.fixture
def texts(owner: User, stranger: User) -> dict[Generation, str]:
    """Generations of the owner with their texts; a stranger has the same ones."""
    for text in TEXTS:
        make_generation(stranger, status=Status.SUCCEEDED, text=searchable([text]))
    return {
        make_generation(owner, status=status, text=searchable([text])): searchable([text])
        for text, status in zip(TEXTS, FINISHED, strict=False)
    }


def found(owner: User, *words: str) -> set[str]:
    return {row.text for row in Generation.objects.in_workspace(own(owner)).found_by_index(words)}


def test_every_part_of_a_text_is_found_and_nothing_else(owner: User, texts: dict[Generation, str]) -> None:
    mine = Generation.objects.in_workspace(own(owner))
    for term in TERMS:
        words = searching.words_of(term)
        expected = {row for row, text in texts.items() if all(word in text for word in words)}
        assert set(mine.mentioning(words)) == expected, term
        if any(searching.is_indexed(word) for word in words):
            assert set(mine.found_by_index(words)) == expected, term


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("fox", True),
        ("東京タ", True),
        ("1.234", True),
        ("ab", False),
        ("ab-cd", False),
        ("a_b_c", False),
        ("---", False),
    ],
)
def test_the_index_finds_three_letters_in_a_row(word: str, expected: bool) -> None:
    assert searching.is_indexed(word) is expected


def test_a_search_has_ten_words_at_most_and_no_nul() -> None:
    assert searching.words_of("A\x00B " + "c " * 20) == ["a", "b"] + ["c"] * 8


def test_the_index_follows_texts_that_change_and_rows_that_go(owner: User) -> None:
    one, two = (make_generation(owner, status=Status.SUCCEEDED, text=text) for text in ("a fox", "a fox and a dog"))
    assert found(owner, "fox") == {"a fox", "a fox and a dog"}
    two.text = "a cat"
    two.save(update_fields=["text"])
    assert (found(owner, "fox"), found(owner, "dog"), found(owner, "cat")) == ({"a fox"}, set(), {"a cat"})
    one.delete()
    assert found(owner, "fox") == set()
    Generation.objects.all().delete()
    assert found(owner, "cat") == set()


def test_after_all_migrations_the_index_is_there(db: None) -> None:
    assert searching.is_there(connection)
    assert searching.check(databases=["default"]) == []


@pytest.fixture
def sqlite(db: None) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("of SQLite")


@pytest.mark.usefixtures("sqlite")
def test_a_table_that_django_wrote_anew_is_indexed_again(owner: User) -> None:
    make_generation(owner, status=Status.SUCCEEDED, text="before")
    with connection.cursor() as cursor:
        for name in searching.SQLITE_TRIGGERS:
            cursor.execute(f"DROP TRIGGER {name}")
    make_generation(owner, status=Status.SUCCEEDED, text="meanwhile")
    assert found(owner, "meanwhile") == {"meanwhile"}  # slowly
    searching.ensure_migrated(connection)
    assert searching.is_there(connection)
    assert (found(owner, "before"), found(owner, "meanwhile")) == ({"before"}, {"meanwhile"})


@pytest.mark.usefixtures("sqlite")
def test_sqlite_looks_into_the_index_and_not_into_the_history(owner: User) -> None:
    plan = Generation.objects.in_workspace(own(owner)).found_by_index(["lighthouse"])[:51].explain()
    assert "VIRTUAL TABLE" in plan
    assert "(id=?)" in plan
    assert "(workspace_id=?" not in plan


@pytest.mark.usefixtures("sqlite")
def test_an_old_sqlite_searches_without_an_index_and_a_check_says_so(
    owner: User, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    searching.drop(connection)
    monkeypatch.setattr(searching, "_has_trigrams", lambda cursor: False)
    searching.ensure_migrated(connection)
    assert searching.NO_FTS5 in caplog.text
    make_generation(owner, status=Status.SUCCEEDED, text="a fox")
    assert found(owner, "fox") == {"a fox"}
    assert [each.msg for each in searching.check(databases=["default"])] == [searching.NO_FTS5]


@pytest.fixture
def nobody(transactional_db: None) -> Iterator[Any]:
    """A cursor whose role may create nothing, in a database without the extension."""
    if connection.vendor != "postgresql":
        pytest.skip("of PostgreSQL")
    with connection.cursor() as cursor:
        role = connection.ops.quote_name(f"nobody of {connection.settings_dict['NAME']}")
        searching.drop(connection)
        cursor.execute(f"DROP EXTENSION pg_trgm; CREATE ROLE {role}; GRANT USAGE ON SCHEMA public TO {role}")
        cursor.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}; SET ROLE {role}")
        yield cursor
        cursor.execute(f"RESET ROLE; DROP OWNED BY {role}; DROP ROLE {role}")
    searching.ensure(connection)


def test_who_may_not_create_the_extension_is_told_what_to_do(nobody: Any, caplog: pytest.LogCaptureFixture) -> None:
    searching.ensure_migrated(connection)
    assert "permission denied to create extension" in caplog.text
    assert [each.msg for each in searching.check(databases=["default"])] == [searching.NO_TRIGRAMS]
    nobody.execute("RESET ROLE; CREATE SCHEMA providers; CREATE EXTENSION pg_trgm SCHEMA providers")
    searching.ensure_migrated(connection)
    assert searching.check(databases=["default"]) == []
