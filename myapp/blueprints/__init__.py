"""Drop a module with a ``blueprint`` here, and it is served: see ``docs/blueprints.md``."""
