"""A delayed payment that takes longer than its stock is held: from the debit at Stripe to the e-mail to staff."""

from collections.abc import Iterator
from datetime import timedelta

import notifications.chains
import pytest
from checkout.handlers import handlers as checkout_handlers
from events.testing.bus import Bus
from events.testing.fixtures import MakeDatabase
from inventory import reservations
from inventory.config import Config as InventoryConfig
from inventory.handlers import handlers as inventory_handlers
from notifications.config import Config
from notifications.handlers import create_handlers
from notifications.sender import Sender
from orders.handlers import handlers as orders_handlers

from demo.shop.mailbox import Mail, Mailbox
from tests.e2e.in_process import OPERATOR_TOKEN, Shop

DAY = timedelta(days=1)
DELAYED_PAYMENT_TIME = timedelta(days=65)  # DELAYED_PAYMENT_DAYS
CASH_APP_CODE = "cashapp_handle_redirect_or_display_qr_code"


class MailingShop(Shop):
    """The shop in one thread, with notifications that send to a mail catcher."""

    def __init__(self, make: MakeDatabase, mailbox: Mailbox) -> None:
        super().__init__(make)
        database = self.databases["notifications"] = make(notifications.chains.CHAINS)
        config = Config(
            service="notifications", port=0, broker_url="memory://", database_url="",
            operator_tokens={"zoe": OPERATOR_TOKEN}, smtp_url=f"smtp://127.0.0.1:{mailbox.port}",
            mail_from="orders@clozit.example", staff_email="staff@clozit.example", shop_url="https://shop.test",
        )  # fmt: skip
        self.mailbox, self.sender = mailbox, Sender(config, database, clock=self.now)
        handlers = {"checkout": checkout_handlers, "inventory": inventory_handlers, "orders": orders_handlers}
        handlers["notifications"] = create_handlers()
        self.bus = Bus({name: (self.databases[name], handlers[name]) for name in self.databases})

    def live_through(self, days: int) -> None:
        """Let days pass: each service runs its jobs, and the e-mails are sent."""
        notice = timedelta(hours=InventoryConfig.expiring_notice_hours)
        for _ in range(days):
            self.advance(DAY)
            reservations.publish_expiring(self.databases["inventory"], notice, self.now())
            self.bus.run_until_idle()
            self.sender.run()

    def warnings(self) -> list[Mail]:
        """Return the e-mails to staff about slow payments."""
        return [mail for mail in self.mailbox.messages if "slow payment" in mail.subject]

    def last_mail_to(self, address: str) -> Mail:
        return [mail for mail in self.mailbox.messages if address in mail.to][-1]


@pytest.fixture
def shop(sqlite_database: MakeDatabase) -> Iterator[MailingShop]:
    mailbox = Mailbox()
    mailbox.start()
    made = MailingShop(sqlite_database, mailbox)
    made.seed(TEE=3)
    yield made
    made.inventory.close()
    mailbox.stop()


def test_staff_learn_of_a_slow_payment_before_its_stock_ends(shop: MailingShop) -> None:
    """Checkout knows that the debit is under way, so the stock is held for longer than 14 days."""
    started = shop.start()
    shop.at_stripe("pay", started, method="sepa_success")
    shop.deliver_events()
    shop.live_through(DELAYED_PAYMENT_TIME.days - 3)
    assert shop.statuses(started) == ("complete", "held", "payment_pending")
    assert (shop.stock(), shop.warnings()) == ((3, 1), [])
    shop.live_through(2)
    [warning] = shop.warnings()
    assert shop.stock() == (3, 1), "staff have a day left"
    assert warning.to == ("staff@clozit.example",)
    assert started.id in warning.text
    assert "After that, other customers can buy them." in " ".join(warning.text.split())
    shop.live_through(2)
    assert shop.stock() == (3, 0)
    assert len(shop.warnings()) == 1
    shop.at_stripe("settle", started)
    shop.deliver_events()
    assert shop.statuses(started) == ("complete", "committed", "paid")


def test_ended_hold_of_a_slow_payment_is_not_renewed(shop: MailingShop) -> None:
    """Checkout still asks Stripe each day, but the pieces are for sale, and another customer buys them."""
    started = shop.start(pieces=3, locale="en")
    shop.at_stripe("pay", started, method="sepa_success", email="slow@example.com")
    shop.deliver_events()
    for _ in range(5):
        shop.advance(DELAYED_PAYMENT_TIME / 5)
    shop.account.timers.advance(2 * DAY.total_seconds())
    shop.sweeper.run(shop.now())
    assert shop.statuses(started) == ("complete", "expired", "payment_pending")
    assert shop.stock() == (3, 0)
    shop.at_stripe("pay", shop.start("other", 3), method="card")
    shop.deliver_events()
    shop.at_stripe("settle", started)
    shop.deliver_events()
    assert shop.statuses(started) == ("complete", "committed", "paid!")
    shop.sender.run()
    assert "We are checking your order" in shop.last_mail_to("slow@example.com").subject
    assert "not all of its pieces are in stock" in shop.last_mail_to("staff@clozit.example").text


def test_debit_after_a_scanned_code_is_no_transfer(shop: MailingShop) -> None:
    """The customer opens the code of Cash App, goes back, and pays by debit in the same session."""
    started = shop.start(locale="en")
    shop.at_stripe("pay", started, method="sepa_success", email="back@example.com")
    (intent,) = shop.account.store.all("payment_intent")
    code = {"hosted_instructions_url": "https://payments.stripe.com/cashapp/1"}
    action = {"type": CASH_APP_CODE, CASH_APP_CODE: code}
    shop.account.emit("payment_intent.requires_action", {**intent, "next_action": action})
    shop.deliver_events()
    shop.live_through(1)
    mail = shop.last_mail_to("back@example.com")
    assert "Please transfer" not in mail.text
    assert code["hosted_instructions_url"] not in mail.text
    page = shop.operators().get(f"/orders/by-session/{started.session_id}").get_json()
    assert (page["status"], page["payment_method"]) == ("payment_pending", "sepa_debit")
