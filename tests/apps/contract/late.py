__plugin__ = {"name": "late", "version": "1.0", "summary": "Fails when everything else is there"}


def myapp_ready(app, plugin):
    raise RuntimeError("it cannot start")
