from flask import abort


def myapp_configure(app, plugin):
    app.before_request(lambda: abort(418))
    raise RuntimeError("it cannot be configured")
