"""Drop a module with a ``blueprint`` here, and it is served (``flask run --debug`` notices): see ``docs/blueprints.md``."""
