def myapp_blueprint(app, plugin):
    """No manifest, and a hook that there is not."""
