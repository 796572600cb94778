"""Refunds: an operator's refund request becomes a refund at Stripe, which is booked once.

    operator's request
          │ requests.py: checked under the order's lock, stored
          ▼
      requested ◀──────────────────────────────────────────┐
          │ processor.py: after the commit, calls Stripe   │ no answer: the worker tries again,
          │ through gateway.py, with the request's id as   │ and first looks for the refund
          │ the idempotency key                            │ at Stripe
          ├────────────────────────────────────────────────┘
          ├─ Stripe refuses ─▶ failed, without a refund
          ▼
      a refund with Stripe's id ◀─ also made in Stripe's dashboard
          │ booking.py: from the answer, an event or a lookup; the first one books, repeats change nothing
          ▼
      requires_action ◀▶ pending ─▶ succeeded ─▶ failed
                            ├─────▶ canceled
                            └─────▶ failed

A process can die between any two steps. The stored request has a lease. After the lease, the worker continues.
lookups.py asks Stripe for refunds that are only part of a charge's sum. allocation.py calculates the amount of a refund
of lines, and charged_lines.py fetches Stripe's amounts of the lines for that.
review_reasons.py finds the reason of the review that ended in a refund.
"""
