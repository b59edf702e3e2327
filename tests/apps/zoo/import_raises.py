raise RuntimeError("the import fails")
