"""Statements that are asked all the time: put into SQL once in a process, planned by PostgreSQL once in a connection.

Django writes the SQL of a query anew each time, and PostgreSQL plans it anew, which costs more than running it where a
row or two are found by an index. What is kept here has a `Slot` for each value that changes from call to call.
Everything else is part of the text, so that partial indexes are found by it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Generic, NamedTuple, TypeVar, cast

import psycopg
from django.db import DEFAULT_DB_ALIAS, NotSupportedError, connections, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.postgresql.base import ServerBindingCursor
from django.db.models.expressions import BaseExpression, Expression
from django.db.models.query import ModelIterable, get_related_populators
from django.db.models.sql import UpdateQuery
from django.db.transaction import TransactionManagementError

Row = TypeVar("Row")
Model = TypeVar("Model", bound=models.Model)
_PLAIN = (str, int, float, bool, type(None))


class Slot(Expression):
    """Stands for a value of this field that each call gives under this name."""

    def __init__(self, name: str, field: models.Field[Any, Any]) -> None:
        super().__init__(output_field=field)
        self.name = name
        self._field = field

    def as_sql(self, compiler: Any, connection: BaseDatabaseWrapper) -> Any:
        """A placeholder, whose parameter is the slot itself."""
        return "%s", [self]

    def read(self, values: Mapping[str, Any], connection: BaseDatabaseWrapper) -> Any:
        """Its value among these, as the database wants it. KeyError."""
        return self._field.get_db_prep_save(values[self.name], connection)


class _Text(NamedTuple):
    """SQL with what becomes its parameters: slots, and on SQLite constants, too."""

    sql: str
    parameters: Sequence[Any]

    def read(self, values: Mapping[str, Any], connection: BaseDatabaseWrapper) -> list[Any]:
        return [each.read(values, connection) if isinstance(each, Slot) else each for each in self.parameters]


class _Query(NamedTuple):
    text: _Text
    compiler: Any
    converters: dict[int, Any]
    names: list[str]
    populators: list[Any]
    are_instances: bool
    is_locking: bool


class Kept(Generic[Row]):
    """A query for rows, with `select_related` and annotations as you like, or for columns (`values_list`).

    `make` builds it, once for each kind of database; moments and other values that change must be slots.
    """

    def __init__(self, make: Callable[[], models.QuerySet[Any, Row]]) -> None:
        self._make = make
        self._queries: dict[str, _Query] = {}

    def all(self, **values: Any) -> list[Row]:
        """The rows for these values of the slots, as instances or tuples. KeyError for a slot without a value."""
        connection = connections[DEFAULT_DB_ALIAS]
        if (query := self._queries.get(connection.vendor)) is None:
            query = self._queries[connection.vendor] = self._compile(connection)
        if query.is_locking and connection.get_autocommit():
            msg = "Rows are locked until the transaction ends: there is none"
            raise TransactionManagementError(msg)
        rows: Any = ask(query.text.sql, query.text.read(values, connection))
        if query.converters:
            rows = query.compiler.apply_converters(rows, query.converters)
        if query.are_instances:
            return list(_instances(query, rows, connection.alias))
        return [cast("Row", tuple(row)) for row in rows]

    def first(self, **values: Any) -> Row | None:
        """The first row; None without any."""
        return next(iter(self.all(**values)), None)

    def _compile(self, connection: BaseDatabaseWrapper) -> _Query:
        rows = self._make()
        compiler: Any = rows.query.get_compiler(connection=connection)
        sql, parameters = compiler.as_sql()
        text = _text(sql, parameters, connection)
        columns = [column for column, _, _ in compiler.select]
        info = compiler.klass_info
        return _Query(
            text,
            compiler,
            compiler.get_converters(columns),
            [columns[position].target.attname for position in info["select_fields"]],
            get_related_populators(info, compiler.select, connection.alias),  # type: ignore[call-arg]  # stubs of a later one
            are_instances=issubclass(rows._iterable_class, ModelIterable),
            is_locking=rows.query.select_for_update,
        )


class KeptUpdate:
    """An UPDATE of one table. `make` returns the rows, what changes, and what to return of each row that changed: names
    of columns and expressions, which do not refer to the table.
    """

    def __init__(self, make: Callable[[], tuple[models.QuerySet[Any], Mapping[str, Any], Sequence[Any]]]) -> None:
        self._make = make
        self._texts: dict[str, tuple[_Text, Any, dict[int, Any]]] = {}

    def __call__(self, **values: Any) -> list[tuple[Any, ...]]:
        """For each row that changed, what was to be returned of it, as it is now."""
        connection = connections[DEFAULT_DB_ALIAS]
        if (found := self._texts.get(connection.vendor)) is None:
            sql, parameters, compiler, converters = _update_text(*self._make())
            found = self._texts[connection.vendor] = (_text(sql, parameters, connection), compiler, converters)
        text, compiler, converters = found
        rows = ask(text.sql, text.read(values, connection))
        return list(map(tuple, compiler.apply_converters(rows, converters)))


def _update_text(
    rows: models.QuerySet[Any], changes: Mapping[str, Any], wanted: Sequence[str | BaseExpression]
) -> tuple[str, list[Any], Any, dict[int, Any]]:
    """UPDATE … RETURNING, which Django cannot say: SQL, parameters, a compiler, and the converters of what returns."""
    query: Any = rows.query.chain(UpdateQuery)
    query.annotations = {}
    query.clear_ordering(force=True)
    query.add_update_values(dict(changes))
    compiler = query.get_compiler(rows.db)
    expressions = [_resolved(each, rows.model, query) for each in wanted]
    update, values = compiler.as_sql()
    columns = [compiler.compile(each) for each in expressions]
    names = ", ".join(sql for sql, _ in columns)
    parameters = [*values, *(each for _, some in columns for each in some)]
    return f"{update} RETURNING {names}", parameters, compiler, compiler.get_converters(expressions)


@contextmanager
def prepared() -> Iterator[None]:
    """What this thread asks PostgreSQL meanwhile is planned once in a connection: for statements whose text never
    changes. Values go beside the text, not into it.
    """
    connection = connections[DEFAULT_DB_ALIAS]
    if connection.vendor != "postgresql":
        yield
        return
    connection.ensure_connection()
    raw: Any = connection.connection
    former, raw.cursor_factory = raw.cursor_factory, _PreparingCursor
    try:
        yield
    finally:
        raw.cursor_factory = former


class _PreparingCursor(ServerBindingCursor):
    def execute(self, query: Any, params: Any = None) -> Any:
        # Django's wrapper passes nothing else. Without a `prepare_threshold`, the connection prepares nothing.
        return super().execute(query, params, prepare=True)  # type: ignore[misc]  # psycopg's, of the real base class

    def _convert_query(self, query: Any, params: Any = None) -> Any:
        self._query = super()._convert_query(query, params)  # type: ignore[misc]  # what logs of queries show
        return self._query


def ask(sql: str, values: Mapping[str, Any] | Sequence[Any]) -> list[tuple[Any, ...]]:
    """The rows that a statement in the database's own words finds or returns; see `prepared`."""
    connection = connections[DEFAULT_DB_ALIAS]
    try:
        return _asked(connection, sql, values)
    except NotSupportedError as error:
        # A migration has changed the type of a column. Nothing was done: the plan is looked at first.
        is_outdated = isinstance(error.__cause__, psycopg.errors.FeatureNotSupported)
        if not is_outdated or connection.in_atomic_block:  # which ends it, and every plan of the connection with it
            raise
        with connection.cursor() as cursor:
            cursor.execute("DEALLOCATE ALL")  # psycopg forgets them, too
        return _asked(connection, sql, values)


def _asked(connection: BaseDatabaseWrapper, sql: str, values: Mapping[str, Any] | Sequence[Any]) -> list[Any]:
    with prepared(), connection.cursor() as cursor:
        cursor.execute(sql, values)
        return list(cursor.fetchall())


class Columns(Generic[Model]):
    """The columns of a model, in the order of `names`, for statements in the database's own words."""

    def __init__(self, model: type[Model], names: Sequence[str] | None = None) -> None:
        fields: list[Any] = [each for each in model._meta.concrete_fields if names is None or each.attname in names]
        self._model, self._fields = model, fields
        self._attributes = [each.attname for each in fields]
        self._converters: dict[str, Any] = {}
        self.names = [each.column for each in fields]

    def records(self, instances: Iterable[Model]) -> str:
        """Their values by column, for PostgreSQL's jsonb_populate_recordset: JSON as it is, everything else as text."""
        connection = connections[DEFAULT_DB_ALIAS]

        def prepared(field: Any, value: Any) -> Any:
            return value if isinstance(field, models.JSONField) else field.get_db_prep_save(value, connection)

        records = [
            {each.column: prepared(each, getattr(instance, each.attname)) for each in self._fields}
            for instance in instances
        ]
        return json.dumps(records, default=str)  # ids and moments

    @staticmethod
    def are_saved(instances: Iterable[models.Model]) -> None:
        """Rows of these were written by a statement of ours."""
        for each in instances:
            each._state.adding, each._state.db = False, DEFAULT_DB_ALIAS

    def instance(self, values: Sequence[Any]) -> Model:
        """What the database returned for these columns, as an instance."""
        connection = connections[DEFAULT_DB_ALIAS]
        compiler: Any
        if (found := self._converters.get(connection.vendor)) is None:
            compiler = self._model._default_manager.all().query.get_compiler(connection=connection)
            table = self._model._meta.db_table
            converters = compiler.get_converters([each.get_col(table) for each in self._fields])
            found = self._converters[connection.vendor] = (compiler, converters)
        compiler, converters = found
        (row,) = compiler.apply_converters([values], converters)
        return self._model.from_db(connection.alias, self._attributes, row)


def _text(sql: str, parameters: Sequence[Any], connection: BaseDatabaseWrapper) -> _Text:
    """TypeError for a constant that is not plain: a moment, say, which would be the same one forever."""
    for each in parameters:
        if not isinstance(each, (*_PLAIN, Slot)):
            msg = f"{each!r} must be a slot"
            raise TypeError(msg)
    if connection.vendor != "postgresql":
        return _Text(sql, list(parameters))
    connection.ensure_connection()
    first, *rest = sql.split("%s")  # Django writes no other per cent sign that is followed by an s
    words = ["%s" if isinstance(each, Slot) else _literal(each, connection.connection) for each in parameters]
    whole = first + "".join(word + part for word, part in zip(words, rest, strict=True))
    return _Text(whole, [each for each in parameters if isinstance(each, Slot)])


def _literal(value: Any, raw: Any) -> str:
    plain = str(value) if isinstance(value, str) else value  # a choice's value is more than a str
    return psycopg.sql.Literal(plain).as_string(raw).strip().replace("%", "%%")


def _instances(query: _Query, rows: Iterable[Any], alias: str) -> Iterator[Any]:
    """As Django's own ModelIterable makes them of rows."""
    model, fields = query.compiler.klass_info["model"], query.compiler.klass_info["select_fields"]
    begin, end = fields[0], fields[-1] + 1
    for row in rows:
        made = model.from_db(alias, query.names, row[begin:end])
        for populator in query.populators:
            populator.populate(row, made)
        for name, position in query.compiler.annotation_col_map.items():
            setattr(made, name, row[position])
        yield made


def _resolved(wanted: str | BaseExpression, model: type[models.Model], query: UpdateQuery) -> Any:
    if isinstance(wanted, str):
        field: Any = model._meta.get_field(wanted)
        return field.get_col(model._meta.db_table)
    return wanted.resolve_expression(query)
