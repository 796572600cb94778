"""pika's connection, extended to write the frames of a block in one call. It overrides private methods of pika 1.4.

A caller encodes its event's envelope with `encode`, before the I/O thread sees it. An envelope that AMQP cannot carry
then fails only its own publish. On the I/O thread it would fail the connection, and with it every other publish.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pika
from pika import frame, spec

from events.errors import UnpublishableError
from events.messaging import topology
from events.messaging.event import Event

CHANNEL_NUMBER = 64  # on which publishers publish: frames name their channel, and are encoded before it opens. Channels
# without a number of their own get the lowest free one, so they do not come as far as this
MAX_ENVELOPE = spec.FRAME_MIN_SIZE  # bytes: a header frame cannot be split, and every broker accepts this size


class BufferedConnection(pika.SelectConnection):
    """A connection that can write many frames at once; pika makes three system calls for each message."""

    _buffer: list[bytes] | None = None

    @contextmanager
    def buffered(self) -> Iterator[None]:
        """Collect the frames of a block and write them in one call at its end."""
        self._buffer = []
        try:
            yield
        finally:
            frames, self._buffer = self._buffer, None
            if frames:
                self._output_marshaled_frames([b"".join(frames)])

    def send(self, envelope: bytes, body: bytes) -> None:
        """Send a message on `CHANNEL_NUMBER`, with an envelope from `encode`."""
        size = self._body_max_length
        starts = range(0, len(body), size)
        parts = [frame.Body(CHANNEL_NUMBER, body[start : start + size]).marshal() for start in starts]
        self._output_marshaled_frames([envelope, *parts])

    def discard(self) -> None:
        """Close the socket without the I/O loop, which has failed and never runs again."""
        if self._transport is not None:
            self._transport._close_and_finalize()

    def _on_connection_workflow_done(self, conn_or_exc: Any) -> None:
        """Replace an exception class by an instance: pika passes the class if the handshake fails, and rejects it."""
        super()._on_connection_workflow_done(conn_or_exc() if isinstance(conn_or_exc, type) else conn_or_exc)

    def _output_marshaled_frames(self, marshaled_frames: Sequence[bytes]) -> None:
        if self._buffer is None:
            super()._output_marshaled_frames(marshaled_frames)
        else:
            self._buffer.extend(marshaled_frames)


def encode(event: Event) -> bytes:
    """Return the frames of an event's envelope. Raises `UnpublishableError` if AMQP cannot carry it.

    AMQP counts the UTF-8 bytes of an id, a key or a type, at most 255, and has no time before 1970.
    """
    try:
        method = spec.Basic.Publish(exchange=topology.EVENTS, routing_key=event.routing_key, mandatory=True)
        properties = pika.BasicProperties(**event.properties())
        header = frame.Header(CHANNEL_NUMBER, len(event.body), properties).marshal()
        envelope: bytes = frame.Method(CHANNEL_NUMBER, method).marshal() + header
    except Exception as error:  # of any class: only this publish may fail
        raise UnpublishableError(f"{event.id}: AMQP cannot carry the envelope: {error!r}") from error
    if len(envelope) > MAX_ENVELOPE:
        raise UnpublishableError(f"{event.id}: the envelope has {len(envelope)} bytes, more than {MAX_ENVELOPE}")
    return envelope


def node_parameters(broker_url: str) -> list[pika.URLParameters]:
    """Return pika's parameters for each node of a cluster; `broker_url` separates the nodes' URLs by `;`."""
    return [pika.URLParameters(url) for url in broker_url.split(";")]
