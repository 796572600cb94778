"""The WSGI application: API, hosted page and control API of one account."""

from flask import Flask

from . import api, control, page
from .account import Account


def create_app(account: Account) -> Flask:
    app = Flask(__name__)
    app.register_blueprint(api.create_blueprint(account))
    app.register_blueprint(page.create_blueprint(account))
    app.register_blueprint(control.create_blueprint(account))
    return app
