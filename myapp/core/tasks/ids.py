"""Ids of tasks: UUIDs of version 7 (:rfc:`9562`), which sort by the time they were made."""

from __future__ import annotations

import os
import time


def new_id() -> str:
    """Return a new UUIDv7 in its text form; ``uuid.uuid7`` comes with Python 3.14 only."""
    milliseconds = time.time_ns() // 1_000_000
    noise = int.from_bytes(os.urandom(10), "big")
    # 48 bits of time, version 7, 12 bits of noise, variant 10, 62 bits of noise.
    value = milliseconds << 80 | 0x7 << 76 | (noise >> 68) << 64 | 0b10 << 62 | noise & 0x3FFF_FFFF_FFFF_FFFF
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
