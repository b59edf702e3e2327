"""The API, one module for each major version."""
