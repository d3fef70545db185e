"""What the queries read: three rounds of input, the same whichever engine runs.

Keys repeat, are late, null, empty, long or not ASCII; times close windows and leave rows of joins without a partner;
numbers touch the ends of their types. Doubles are such that a sum has one value in any order.
"""

import json
import os
from pathlib import Path

LEFT_SCHEMA = "lt timestamp, lk string, lv int, ln decimal(9,2), unused string"
RIGHT_SCHEMA = "rt timestamp, rk string, rv decimal(20,2), rn int"
WIDE_SCHEMA = (
    "wt timestamp, k string, n int, b boolean, by byte, sh short, l long, f float, d double, s string,"
    " dec1 decimal(8,2), dec2 decimal(11,3), dec3 decimal(30,10), dt date, tn timestamp_ntz, bin binary, ai array<int>,"
    " st struct<x:int,y:string,z:struct<w:decimal(20,0)>>, m map<string,int>"
)


def at(second):
    """A time within the hour all input is about."""
    return f"2024-01-01T00:{second // 60:02}:{second % 60:02}Z"


def _left(second, key, value, amount="1.25"):
    return {"lt": second if second is None else at(second), "lk": key, "lv": value, "ln": amount, "unused": "x"}


def _right(second, key, value, number=1):
    return {"rt": second if second is None else at(second), "rk": key, "rv": value, "rn": number}


def _wide(second, key, number, **others):
    return {"wt": at(second), "k": key, "n": number, **others}


LEFT = [
    [
        _left(0, "a", 1),
        _left(3, "b", 2),
        _left(4, "a", 3, "-7.50"),
        _left(4, None, 4),
        _left(5, "日本 naïve", 5),
        _left(5, "", None),
    ],
    [
        _left(12, "b", 5),
        _left(30, "c", 6),
        _left(1, "a", 9),
        _left(13, "日本 naïve", 5),
        _left(29, "a", 1),
        _left(None, "a", 2, None),
    ],
    [
        _left(31, "a", 1),
        _left(95, "c", 7),
        _left(33, "a", 3),
        _left(34, None, 4),
        _left(96, "c", 7),
        _left(97, None, 8),
    ],
]
RIGHT = [
    [_right(0, "a", "1.50"), _right(13, "b", "2.25", 2), _right(5, None, "0.50", None), _right(2, "a", None, 7)],
    [
        _right(4, "a", "3.50", 3),
        _right(31, "d", "-4.75"),
        _right(14, "日本 naïve", "123456789012345678.01"),
        _right(None, "a", "2.00"),
    ],
    [_right(33, "a", "5.00"), _right(99, "e", "6.00", 3), _right(32, "c", "1.00", 6)],
]
_FULL = {
    "b": True,
    "by": -128,
    "sh": 32767,
    "l": 10**12,
    "f": 1.5,
    "d": 0.25,
    "s": "hello",
    "dec1": "12.34",
    "dec2": "-12345678.901",
    "dec3": "12345678901234567890.0123456789",
    "dt": "2024-01-01",
    "tn": "2024-01-01T00:00:00.123456",
    "bin": "AQID",
    "ai": [1, None, -5],
    "st": {"x": 1, "y": "é", "z": {"w": "12345678901234567890"}},
    "m": {"p": 1, "q": 2},
}
_NEGATIVE = {
    "b": False,
    "by": 5,
    "sh": -7,
    "l": -1,
    "f": -0.0,
    "d": 2.25,
    "s": "a much longer string é日本",
    "dec1": "-0.01",
    "dec2": "0.001",
    "dec3": "-1",
    "dt": "1960-02-29",
    "tn": "1969-12-31T23:59:59.999999",
    "bin": "",
    "ai": [],
    "st": {"x": None, "y": "", "z": None},
    "m": {},
}
WIDE = [
    [
        _wide(1, "a", 1, **_FULL),
        _wide(2, "a", 1, **_NEGATIVE),
        _wide(3, None, 1, d=-4.0),
        _wide(4, "a", None, l=5, s="x"),
        _wide(4, None, None),
    ],
    [
        _wide(13, "b", 2, **{**_FULL, "s": "", "d": -1.0, "dec3": "0", "bin": "/w==", "dt": "2024-06-01"}),
        _wide(14, "a", 1, s="zzz", l=7, d=8.5),
        _wide(12, None, 1, d=7.0, s="q"),
        _wide(26, "a", 1, **{**_NEGATIVE, "d": 1.0, "l": 12, "s": "hello"}),
    ],
    [
        _wide(40, "a", None, s="only s", d=16.0),
        _wide(41, None, None, dec3="5.5", b=True, l=9),
        _wide(75, "c", 3, **_FULL),
        _wide(75, "a", 1, **{**_FULL, "d": 32.0, "s": None}),
    ],
]
ROUNDS = len(LEFT)


def feed(base, number):
    """Write the files of a round."""
    for side, rounds in (("left", LEFT), ("right", RIGHT), ("wide", WIDE)):
        path = Path(base, side, f"{number}.json")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rounds[number]), encoding="utf-8")
        # Files are read in the order of their times, which two in one millisecond would not have.
        os.utime(path, (1_700_000_000 + number, 1_700_000_000 + number))
