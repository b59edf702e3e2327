def myapp_configure(application):
    pass
