"""Packages on disk that tests load: good and broken ones, none of them a test."""

from __future__ import annotations

collect_ignore_glob = ["*"]
