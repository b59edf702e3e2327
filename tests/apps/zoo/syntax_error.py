__plugin__ = {"name": "syntax_error"}

def broken(:
    pass
