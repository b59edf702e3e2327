"""Drop a module with a ``blueprint`` here, and it is served after a restart: see ``docs/blueprints.md``."""
