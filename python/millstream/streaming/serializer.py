"""Which serializer the elements of a stream would have in PySpark.

Only ``StreamingContext.union`` asks: it refuses streams whose serializers differ, so a stream of a socket cannot be
united with one of a queue. Nothing is serialized by these.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

UTF8 = "utf8"
BYTES = "none"
PICKLED = 0
"""As in ``RDD._jrdd_deserializer``: text, bytes, or pickled in batches of so many elements, 0 for any size."""


def of_queue(rdds: list[Any]) -> str | int:
    """Return the serializer of a queue of RDDs: their own if all have the same."""
    formats = {rdd._jrdd_deserializer for rdd in rdds}
    return formats.pop() if len(formats) == 1 else PICKLED


def are_same(formats: Iterable[str | int]) -> bool:
    """Whether streams of these serializers can be united by the context."""
    return len(set(formats)) <= 1
