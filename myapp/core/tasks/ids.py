"""Ids of tasks: UUIDs of version 7 (:rfc:`9562`), which sort by the time they were made."""

from __future__ import annotations

import os
import time


def new_id() -> str:
    """Return a new UUIDv7 in its text form; ``uuid.uuid7`` comes with Python 3.14 only."""
    # 48 bits of time, version 7, 12 bits of noise, variant 10, 62 bits of noise.
    milliseconds = time.time_ns() // 1_000_000
    noise = os.urandom(10).hex()
    variant = "89ab"[int(noise[3], 16) & 3]
    return f"{milliseconds >> 16:08x}-{milliseconds & 0xFFFF:04x}-7{noise[:3]}-{variant}{noise[4:7]}-{noise[8:]}"
