"""Checks of a service's OpenAPI document."""

from collections.abc import Iterator, Mapping
from typing import Any


def unlimited_lists(document: Mapping[str, Any]) -> list[str]:
    """Return each list in a request body that has no maximum length, as `METHOD path: property.property`."""
    schemas = document["components"]["schemas"]
    return [
        f"{method.upper()} {path}: {'.'.join(names)}"
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if isinstance(operation, dict) and "requestBody" in operation
        for content in operation["requestBody"]["content"].values()
        for names in _unlimited(content["schema"], schemas)
    ]


def _unlimited(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    if reference := schema.get("$ref"):
        schema = schemas[reference.rpartition("/")[2]]
    if "items" in schema:
        if "maxItems" not in schema:
            yield ()
        yield from _unlimited(schema["items"], schemas)
    for name, member in schema.get("properties", {}).items():
        yield from ((name, *names) for names in _unlimited(member, schemas))
