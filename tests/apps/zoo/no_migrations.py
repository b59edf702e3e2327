def myapp_migrations(plugin):
    return "a_folder_that_is_not_there"
