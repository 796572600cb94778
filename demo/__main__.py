"""The demo: the whole system in one process, with a fake Stripe, a shop and a mail catcher."""

import argparse
import os
import signal
import sys
import tempfile
import threading
from pathlib import Path

from demo.composed import composed_system
from demo.embedded import StripeAccount, embedded_system
from demo.ports import Ports, PortsInUseError
from demo.scenarios.report import results_table, totals_table
from demo.scenarios.suite import run_all
from demo.scenarios.totals import compare_totals
from demo.system import System

NOTICE = "The demo's broker keeps messages in memory, so it is not for production."


def main() -> int:
    """Run the command line and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument(
        "--smoke",
        action="store_true",
        help="run scripted purchases, check every effect and exit (1 if one is wrong)",
    )
    parser.add_argument(
        "--composed", action="store_true", help="run the purchases of --smoke through the containers of `make up`"
    )
    arguments = parser.parse_args()
    if arguments.composed:
        return run_scenarios(composed_system())
    with tempfile.TemporaryDirectory(prefix="clozit-demo-") as folder:
        return smoke(Path(folder)) if arguments.smoke else serve(Path(folder))


def serve(folder: Path) -> int:
    """Run the demo until Ctrl-C. Return 1 if its ports or settings prevent the start."""
    try:
        ports, account = Ports.from_environment(), _stripe_account()
    except (PortsInUseError, ValueError) as error:
        print(f"The demo cannot start. {error}", file=sys.stderr)
        return 1
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with embedded_system(folder, ports, account) as system:
        print(_welcome(ports, system.operator_token, account), flush=True)
        stop.wait()
        print("\nStopping …", flush=True)
    print("Stopped.")
    return 0


def smoke(folder: Path) -> int:
    """Run all scenarios in an embedded system. Return 1 if an effect or a total is wrong."""
    print(NOTICE, flush=True)
    with embedded_system(folder, Ports.find_free()) as system:
        return run_scenarios(system)


def run_scenarios(system: System) -> int:
    """Run all scenarios and print their results and totals. Return 1 if an effect or a total is wrong."""
    results = run_all(system)
    totals = compare_totals(system)
    print(results_table(results))
    print("\n" + totals_table(totals))
    wrong = [result for result in results if not result.ok]
    print(f"\n{len(results) - len(wrong)} of {len(results)} effects are as expected.")
    return 1 if wrong or not results or not all(total.ok for total in totals) else 0


def _stripe_account() -> StripeAccount | None:
    """Return the Stripe account of STRIPE_API_KEY, if it is set. Raise `ValueError` if it cannot be used."""
    key = os.environ.get("STRIPE_API_KEY")
    if not key:
        return None
    if not key.startswith(("sk_test_", "rk_test_")):
        raise ValueError("STRIPE_API_KEY is not a test key. Set one that begins with sk_test_ or rk_test_.")
    secret = os.environ.get("STRIPE_WEBHOOK_SECRETS", "")
    if not secret:
        raise ValueError(
            "STRIPE_API_KEY is set, but STRIPE_WEBHOOK_SECRETS is not. Run\n"
            "  stripe listen --forward-to http://127.0.0.1:8002/webhooks/stripe\n"
            "It prints a secret (whsec_…). Set STRIPE_WEBHOOK_SECRETS to it and start again."
        )
    return StripeAccount(key, secret)


def _welcome(ports: Ports, token: str, account: StripeAccount | None) -> str:
    shop = ports.url("shop")
    cards = (
        "with Stripe's test cards" if account else "with card 4242 4242 4242 4242; card 4000 0000 0000 0002 is declined"
    )
    last_port = ports["notifications"]
    stripe = "in the dashboard of your account" if account else f"{ports.url('stripe')}/_control/state"
    return f"""
Clozit Payments is running. {NOTICE}

  Buy something      {shop}
                     {cards}
  Read the e-mails   {shop}/mail
  Ship and refund    {shop}/operator#token={token}
  List the orders    curl -H 'Authorization: Bearer {token}' {ports.url("orders")}/orders
  See Stripe's side  {stripe}
  Read the APIs      {ports.url("checkout")}/openapi.json, also on ports {ports["webhooks"]} to {last_port}

Press Ctrl-C to stop."""


if __name__ == "__main__":
    sys.exit(main())
