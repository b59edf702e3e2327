"""The application as developers run it: ``FLASK_APP=devapp.py flask run``."""

from __future__ import annotations

from myapp import create_app

app = create_app({"MYAPP_PROFILE": "development"})

if __name__ == "__main__":
    raise SystemExit("Start it in this folder with: flask run")
