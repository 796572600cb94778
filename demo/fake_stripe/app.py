"""The WSGI application of one account: the API, the payment page and the control API."""

from flask import Flask

from . import api, control, payment_page
from .account import Account


def create_app(account: Account) -> Flask:
    """Return the application with all routes of the account."""
    app = Flask(__name__)
    app.register_blueprint(api.create_blueprint(account))
    app.register_blueprint(payment_page.create_blueprint(account))
    app.register_blueprint(control.create_blueprint(account))
    return app
