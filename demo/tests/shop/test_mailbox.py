import smtplib
import socket
import threading
from email.message import EmailMessage

import pytest

from demo.shop.mailbox import Mailbox


def multipart(subject: str = "Order CLZ-1 is confirmed, schöne Grüße") -> EmailMessage:
    message = EmailMessage()
    message["From"] = "Clozit <shop@clozit.example>"
    message["To"] = "Ada <ada@example.com>"
    message["Subject"] = subject
    message["Message-ID"] = "<order-1@clozit.example>"
    message.set_content("Total: €19.99\n")
    message.add_alternative("<html><head></head><body><b>€19.99</b></body></html>", subtype="html")
    return message


def send(mailbox: Mailbox, message: EmailMessage, to: str = "ada@example.com") -> None:
    with smtplib.SMTP(mailbox.host, mailbox.port, timeout=10) as smtp:
        smtp.send_message(message, to_addrs=[to])


def test_mail_is_caught_with_text_and_html(mailbox: Mailbox) -> None:
    send(mailbox, multipart(), to="blind@example.com")

    (mail,) = mailbox.messages
    assert mail.to == ("blind@example.com",)
    assert mail.sender == "Clozit <shop@clozit.example>"
    assert mail.subject == "Order CLZ-1 is confirmed, schöne Grüße"
    assert mail.text == "Total: €19.99\n"
    assert "<b>€19.99</b>" in mail.html
    assert mail.message["Message-ID"] == "<order-1@clozit.example>"


def test_plain_mail_has_no_html(mailbox: Mailbox) -> None:
    message = EmailMessage()
    message["Subject"] = "Plain"
    message.set_content("Only words.\n")
    message["From"] = "shop@clozit.example"
    send(mailbox, message)

    assert (mailbox.messages[0].text, mailbox.messages[0].html) == ("Only words.\n", "")


def test_waiting_ends_when_the_mail_arrives(mailbox: Mailbox) -> None:
    def send_two() -> None:
        for subject in ("first", "second"):
            send(mailbox, multipart(subject))

    sender = threading.Thread(target=send_two)
    sender.start()

    assert mailbox.wait_for(lambda mail: mail.subject == "second").id == "2"
    sender.join()


def test_waiting_without_a_match_names_the_caught_mails(mailbox: Mailbox) -> None:
    send(mailbox, multipart("something else"))

    with pytest.raises(TimeoutError, match="something else"):
        mailbox.wait_for(lambda mail: mail.subject == "never sent", timeout=0)


def test_stop_closes_the_port_with_a_client_connected() -> None:
    mailbox = Mailbox()
    mailbox.start()
    with socket.create_connection((mailbox.host, mailbox.port), timeout=10) as client:
        client.recv(100)  # the greeting
        mailbox.stop()

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((mailbox.host, mailbox.port), timeout=10)


def test_start_fails_on_a_port_in_use(mailbox: Mailbox) -> None:
    with pytest.raises(OSError, match="in use"):
        Mailbox(port=mailbox.port).start()
