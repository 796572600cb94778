"""python -m demo: the whole system in one process, for a person to try. --smoke: buys by itself, checks, exits.

--composed: the same purchases through the system that `make up` started.
"""

import argparse
import os
import signal
import sys
import tempfile
import threading
from pathlib import Path

from demo.embedded import RealStripe, running
from demo.ports import Ports, Taken
from demo.remote import composed
from demo.scenarios import Finding, play_all
from demo.sums import Sum, compare
from demo.system import System

NOTICE = "The broker of this demo keeps its messages in memory: it is for trying things out, not for production."


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="make scripted purchases, check every effect, exit")
    parser.add_argument("--composed", action="store_true", help="with --smoke: through the containers of `make up`")
    arguments = parser.parse_args()
    if arguments.composed:
        return play(composed())
    with tempfile.TemporaryDirectory(prefix="clozit-demo-") as folder:
        return smoke(Path(folder)) if arguments.smoke else serve(Path(folder))


def serve(folder: Path) -> int:
    """Run until Ctrl-C."""
    try:
        ports, real = Ports.documented(), _real_stripe()
    except (Taken, ValueError) as problem:
        print(f"The demo cannot start: {problem}", file=sys.stderr)
        return 1
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with running(folder, ports, real) as system:
        print(_welcome(ports, system.operator_token, real), flush=True)
        stop.wait()
        print("\nStopping …", flush=True)
    print("Stopped.")
    return 0


def smoke(folder: Path) -> int:
    """Buy in every way, print what was seen; 1 if anything is not as it should be."""
    print(NOTICE, flush=True)
    with running(folder, Ports.free()) as system:
        return play(system)


def play(system: System) -> int:
    findings = play_all(system)
    compared = compare(system)
    print(table(findings))
    print("\n" + table_of_sums(compared))
    wrong = [finding for finding in findings if not finding.ok]
    print(f"\n{len(findings) - len(wrong)} of {len(findings)} effects as they should be.")
    return 1 if wrong or not findings or not all(one.ok for one in compared) else 0


def table(findings: list[Finding]) -> str:
    """The findings as aligned text."""
    rows = [(f.scenario, f.effect, _text(f.expected), _text(f.seen), _verdict(f.ok)) for f in findings]
    return _aligned([("scenario", "effect", "expected", "seen", ""), *rows])


def table_of_sums(compared: list[Sum]) -> str:
    """Minor units and pieces, as Stripe and the services have them."""
    rows = [(one.what, *map(_number, (one.stripe, one.orders, one.inventory)), _verdict(one.ok)) for one in compared]
    return _aligned([("sum", "at Stripe", "orders", "inventory", ""), *rows])


def _aligned(rows: list[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths[:-1]))
    return "\n".join(lines)


def _verdict(ok: bool) -> str:
    return "ok" if ok else "WRONG"


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(_text, value)) or "none"
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _real_stripe() -> RealStripe | None:
    """One's own Stripe account, where STRIPE_API_KEY names one."""
    key = os.environ.get("STRIPE_API_KEY")
    if not key:
        return None
    if not key.startswith(("sk_test_", "rk_test_")):
        raise ValueError("STRIPE_API_KEY is not a test key (sk_test_…). The demo moves no real money.")
    secret = os.environ.get("STRIPE_WEBHOOK_SECRETS", "")
    if not secret:
        raise ValueError(
            "STRIPE_API_KEY is set, STRIPE_WEBHOOK_SECRETS is not. Run\n"
            "  stripe listen --forward-to http://127.0.0.1:8002/webhooks/stripe\n"
            "and start again with STRIPE_WEBHOOK_SECRETS=whsec_… as it prints."
        )
    return RealStripe(key, secret)


def _welcome(ports: Ports, token: str, real: RealStripe | None) -> str:
    cards = "Stripe's own test cards" if real else "4242 4242 4242 4242 pays, 4000 0000 0000 0002 is declined"
    return f"""
Clozit Payments is running. {NOTICE}

  Shop      {ports.url("shop")}         {cards}
  E-mails   {ports.url("shop")}/mail
  Orders    {ports.url("shop")}/operator#token={token}
            curl -H 'Authorization: Bearer {token}' {ports.url("orders")}/orders
  Stripe    {"your account" if real else ports.url("stripe") + "/_control/state"}
  APIs      {ports.url("checkout")}/openapi.json (and on ports {ports.of("webhooks")} to {ports.of("notifications")})

Ctrl-C stops it."""


if __name__ == "__main__":
    sys.exit(main())
