from .blueprint import blueprint
