"""The notifications service: e-mails to customers and staff, one for each occasion."""
