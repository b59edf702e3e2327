__plugin__ = {
    "name": "asking",
    "version": "1.0",
    "summary": "Says which setting it needs",
    "config": {"key": {"type": "str", "required": True}},
}


def myapp_configure(app, plugin):
    app.extensions["asking"] = plugin.config["key"]
