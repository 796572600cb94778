"""Stripe's test cards, bank accounts and test payment methods, with the result of each (docs.stripe.com/testing)."""

from dataclasses import dataclass

from .disputes import DISPUTED_CARDS
from .refunds import FAILING_CARD, SLOW_CARD


@dataclass(frozen=True)
class Decline:
    """The reason for which a bank declines a payment: Stripe's codes and message."""

    code: str
    decline_code: str
    message: str


VISA, MASTERCARD = "4242424242424242", "5555555555554444"
AUTHENTICATION_REQUIRED = "4000002760003184"
BYPASS_PENDING = "4000000000000077"
SUCCEEDING_CARDS = {
    *(VISA, MASTERCARD, "4000056655665556", BYPASS_PENDING, SLOW_CARD, FAILING_CARD),
    *DISPUTED_CARDS,
}
DECLINES = {
    "4000000000000002": Decline("card_declined", "generic_decline", "Your card was declined."),
    "4000000000009995": Decline("card_declined", "insufficient_funds", "Your card has insufficient funds."),
    "4000000000000069": Decline("expired_card", "expired_card", "Your card has expired."),
    "4000000000000127": Decline("incorrect_cvc", "incorrect_cvc", "Your card's security code is incorrect."),
}
NOT_A_TEST_CARD = Decline(
    "card_declined", "test_mode_live_card", "Your card was declined. Use a test card, such as 4242 4242 4242 4242."
)
CARD_EFFECTS = {  # as the payment page lists them
    VISA: "The payment succeeds.",
    "4000000000000259": "The payment succeeds. Later the bank opens a dispute (fraudulent).",
    "4000000000002685": "The payment succeeds. Later the bank opens a dispute (product not received).",
    "4000000000001976": "The payment succeeds. Later the bank opens an inquiry.",
    SLOW_CARD: "The payment succeeds. A refund is pending at first.",
    FAILING_CARD: "The payment succeeds. A refund succeeds and fails later.",
    **{number: decline.message for number, decline in DECLINES.items()},
}
TEST_METHODS = {  # Stripe's fixed ids of test payment methods and card tokens, with their card numbers
    "pm_card_visa": VISA,
    "pm_card_mastercard": MASTERCARD,
    "pm_card_authenticationRequired": AUTHENTICATION_REQUIRED,
    "pm_card_bypassPending": BYPASS_PENDING,
    "pm_card_chargeDeclined": "4000000000000002",
    "pm_card_visa_chargeDeclined": "4000000000000002",
    "pm_card_createDispute": "4000000000000259",
    "pm_card_createDisputeProductNotReceived": "4000000000002685",
    "pm_card_createDisputeInquiry": "4000000000001976",
    "pm_card_pendingRefund": SLOW_CARD,
    "pm_card_refundFail": FAILING_CARD,
    "tok_visa": VISA,
    "tok_mastercard": MASTERCARD,
    "tok_chargeDeclined": "4000000000000002",
}
IBAN_SUCCEEDS, IBAN_FAILS = "DE89370400440532013000", "DE62370400440532013001"
FAILING_IBANS = {IBAN_FAILS, "AT861904300235473202", "IT60X0542811101000000123456"}
SEPA_FAILURE = Decline(
    "payment_method_not_available", "insufficient_funds", "The customer's bank did not pay the debit."
)
