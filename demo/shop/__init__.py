"""The storefront that a visitor of the demo sees, and the mailbox that catches the demo's e-mails."""
