"""The modules that were executed, in order."""

executed: list[str] = []
