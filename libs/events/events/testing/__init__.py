"""What tests of services need: servers, databases, a bus in memory, builders of Stripe's events.

Not imported by production code. The fixtures are a pytest plugin: `pytest_plugins = ["events.testing.fixtures"]`.
"""

from events.messaging.event import own_event
from events.testing.bus import Bus, deliver, outbox_events

__all__ = ["Bus", "deliver", "outbox_events", "own_event"]
