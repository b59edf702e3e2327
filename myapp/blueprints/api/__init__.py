"""The API, in versions: each package below is one."""
