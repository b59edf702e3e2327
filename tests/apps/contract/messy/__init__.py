"""Builds and serves, and keeps hardly anything that a plugin has to keep."""

import os
import signal
import socket
import tempfile
import threading
import time

import jinja2.defaults
from flask import Blueprint, Response, current_app, render_template

from myapp import Model
from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

__plugin__ = {"name": "messy", "version": "1.0", "summary": "Everything that it should not"}

APPS = []
os.environ["MESSY_TOKEN"] = "a secret"
signal.signal(signal.SIGALRM, signal.SIG_IGN)
tempfile.NamedTemporaryFile().close()
threading.Thread(target=len, args=("",), name="a messy thread").start()
LEFT_OPEN = socket.socket()
LEFT_OPEN.connect_ex(("127.0.0.1", 9))
jinja2.defaults.DEFAULT_FILTERS["messy"] = str
until = time.process_time() + 0.26
while time.process_time() < until:
    pass


class Thing(Model):
    __tablename__ = "things"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(20))


blueprint = Blueprint("messy", __name__, template_folder="templates", static_folder="static")


@blueprint.get("/")
def index():
    return render_template("messy_page.html")


@blueprint.get("/first")
def first():
    return {"first": [][0]}


def myapp_configure(app, plugin):
    APPS.append(app)
    app.add_url_rule("/messy/fixed", "messy.fixed", lambda: "always here")
    app.add_url_rule("/checkout", "checkout", lambda: current_app.name)
    app.cli.command("checkout")(lambda: None)


def myapp_blueprints(app, plugin):
    return blueprint


def myapp_migrations(plugin):
    return "migrations"


@blueprint.get("/endless")
def endless():
    def lines():
        while True:
            yield "more\n"

    return Response(lines())


def myapp_ready(app, plugin):
    threading.Thread(target=threading.Event().wait).start()
