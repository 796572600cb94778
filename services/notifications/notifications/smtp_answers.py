"""The meanings of a mail server's answers: some are about one e-mail, others about all e-mails."""

import re
import smtplib

SHUTTING_DOWN_CODE = 421  # SMTP code: the server closes the connection after this answer to any command
ENHANCED_CODE = re.compile(r"5\.(\d{1,3})\.(\d{1,3})\b")  # RFC 3463: the subject and the detail
ABOUT_THE_MAIL = frozenset({1, 2, 4, 6})  # subjects: the address, the mailbox, the way to it, the content
ABOUT_THE_SENDER = frozenset({(1, 7), (1, 8)})  # details of subject 1 that mean our own address
ABOUT_THE_RECIPIENT = frozenset({(3, 4), (7, 17), (7, 18)})  # too big for the server; mailbox or domain has a new owner
RECIPIENT_CODES = frozenset({550, 551, 552, 553, 556})  # without an enhanced code
TOO_BIG_CODE = 552  # the SMTP code of a full mailbox or an e-mail that is too big: the sender is not the reason


class ServerAwayError(Exception):
    """The server accepts no e-mails now: it is away, or TLS failed. No single e-mail causes this, so all wait."""


class BlockedError(ServerAwayError):
    """The server refuses us: no login, no relay, no encryption, or a quota. An operator has to correct this."""


class MailNotSentError(Exception):
    """The base class of the reasons why the server has not accepted an e-mail, as far as we know."""


class ConnectionLostError(MailNotSentError):
    """The connection or the sender's claim ended before the server accepted the e-mail: it was certainly not sent."""


class AnswerLostError(MailNotSentError):
    """No answer came after the whole e-mail: the server may have accepted it, or the connection broke before that."""


class MailDeferredError(MailNotSentError):
    """The server does not accept this e-mail now: try again later."""


class MailBlockedError(MailNotSentError):
    """The server refuses this e-mail, probably because of us and not of the e-mail: relay or quota, for example."""


class MailRefusedError(MailNotSentError):
    """The server refuses this e-mail or its recipient permanently, or the e-mail cannot be written."""


def error_for(command: str, code: int, answer: bytes | str) -> Exception:
    """Return the error for an answer that refuses a command.

    Code 421 is a `ConnectionLostError`. A code from 500 to 599 is a `MailRefusedError`, or a `MailBlockedError` if the
    reason is probably ours. Any other code is a `MailDeferredError`.
    """
    text = _text(answer)
    description = f"{code} {text}"
    if code == SHUTTING_DOWN_CODE:
        return ConnectionLostError(description)
    if not 500 <= code < 600:
        return MailDeferredError(description)
    return MailRefusedError(description) if _is_about_the_mail(command, code, text) else MailBlockedError(description)


def _is_about_the_mail(command: str, code: int, text: str) -> bool:
    """Return True for a permanent refusal of this e-mail or recipient, and False if it is probably about us."""
    enhanced = ENHANCED_CODE.match(text)
    subject, detail = (int(enhanced[1]), int(enhanced[2])) if enhanced else (0, 0)
    if (subject, detail) in ABOUT_THE_RECIPIENT:
        return True
    if command == "MAIL" or (subject, detail) in ABOUT_THE_SENDER:
        return code == TOO_BIG_CODE
    return subject in ABOUT_THE_MAIL if subject else code in RECIPIENT_CODES


def describe(error: Exception) -> str:
    """Return the server's answer, or the text of another error."""
    if isinstance(error, smtplib.SMTPResponseException):
        return f"{error.smtp_code} {_text(error.smtp_error)}"
    return str(error) or type(error).__name__


def _text(answer: bytes | str) -> str:
    return answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer
