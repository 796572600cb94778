"""The demo's shop: a storefront, a page that shows caught e-mails, and a page for operators."""
