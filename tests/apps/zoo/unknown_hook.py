def myapp_configuer(app, plugin):
    pass
