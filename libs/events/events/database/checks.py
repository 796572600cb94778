"""Changes of text columns for migrations: the values that a constraint allows, and the length.

SQLite cannot alter a constraint or a type. Its schema text is edited instead, as section 7 of
https://sqlite.org/lang_altertable.html describes: no row is copied, and foreign keys stay.
"""

import re

import sqlalchemy as sa
from alembic import op


def allow_values(table: str, column: str, *added: str) -> None:
    """Allow more values in a column that `one_of` limits. They are appended to the present list."""
    values = _allowed(table, column)
    _replace(table, column, [*values, *(value for value in added if value not in values)])


def disallow_values(table: str, column: str, *removed: str) -> None:
    """Remove values from a column's list, to revert `allow_values`."""
    _replace(table, column, [value for value in _allowed(table, column) if value not in removed])


def allow_any_value(table: str, column: str) -> None:
    """Remove the constraint of a column: its values are Stripe's, and Stripe may add others."""
    _replace(table, column, None)


def allow_only(table: str, column: str, *values: str) -> None:
    """Add a constraint to a column without one, to revert `allow_any_value`. Put a check of the table before it."""
    bind, name = op.get_bind(), f"ck_{table}_{column}"
    if bind.dialect.name != "sqlite":
        op.create_check_constraint(op.f(name), table, _condition(column, values))
        return
    text = f"CONSTRAINT {name} CHECK ({_condition(column, values)})"
    _edit_sqlite_schema(table, "PRIMARY KEY", text)


def widen_text(table: str, column: str, before: int, after: int) -> None:
    """Change the length of a text column, in characters."""
    if op.get_bind().dialect.name != "sqlite":
        op.alter_column(table, column, existing_type=sa.String(before), type_=sa.String(after))
        return
    _edit_sqlite_schema(table, rf"(?<=\b{re.escape(column)} )VARCHAR\({before}\)", f"VARCHAR({after})", is_pattern=True)


def _allowed(table: str, column: str) -> list[str]:
    """Return the values that the column's constraint lists. Raises `LookupError` without such a constraint."""
    name = f"ck_{table}_{column}"
    for check in sa.inspect(op.get_bind()).get_check_constraints(table):
        if check["name"] == name:
            return re.findall(r"'([^']*)'", check["sqltext"])
    raise LookupError(f"{table} has no constraint {name}")


def _condition(column: str, values: tuple[str, ...] | list[str]) -> str:
    listed = ",".join(f"'{value}'" for value in values)
    return f"{column} IN ({listed})"


def _replace(table: str, column: str, values: list[str] | None) -> None:
    bind, name = op.get_bind(), f"ck_{table}_{column}"
    if bind.dialect.name != "sqlite":
        op.drop_constraint(op.f(name), table, type_="check")
        if values is not None:
            op.create_check_constraint(op.f(name), table, _condition(column, values))
        return
    before = rf"CONSTRAINT {name} CHECK \({re.escape(column)} IN \([^)]*\)\),?"
    text = f"CONSTRAINT {name} CHECK ({_condition(column, values)})," if values is not None else ""
    _edit_sqlite_schema(table, before, text, is_pattern=True)


def _edit_sqlite_schema(table: str, found: str, text: str, *, is_pattern: bool = False) -> None:
    """Replace what the pattern matches in a table's schema text, or add `text` before its last constraint `found`."""
    bind = op.get_bind()
    schema = str(bind.scalar(sa.text("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = :t"), {"t": table}))
    if is_pattern:
        edited, count = re.subn(found, lambda _: text, schema, count=1)
    else:
        at = schema.rfind("CONSTRAINT", 0, schema.rfind(found))
        edited, count = schema[:at] + text + ", " + schema[at:], int(at > 0)
    if count != 1:
        raise LookupError(f"{table}: the constraint was not found in the schema")
    edited = re.sub(r",\s*\)\s*$", "\n)", edited)
    version = int(bind.scalar(sa.text("PRAGMA schema_version")) or 0)
    bind.execute(sa.text("PRAGMA writable_schema = ON"))
    bind.execute(
        sa.text("UPDATE sqlite_master SET sql = :s WHERE type = 'table' AND name = :t"), {"s": edited, "t": table}
    )
    bind.execute(sa.text(f"PRAGMA schema_version = {version + 1}"))
    bind.execute(sa.text("PRAGMA writable_schema = OFF"))
