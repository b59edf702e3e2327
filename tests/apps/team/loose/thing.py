raise AssertionError("a folder without __init__.py was imported")
