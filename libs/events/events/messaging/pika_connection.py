"""pika's connection, with its frames written in one call per block. It overrides private methods of pika 1.4."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pika


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

    def _on_connection_workflow_done(self, conn_or_exc: Any) -> None:
        """Correct the argument: closed during the handshake, pika passes an exception class and its assertion fails."""
        super()._on_connection_workflow_done(conn_or_exc() if isinstance(conn_or_exc, type) else conn_or_exc)

    def _output_marshaled_frames(self, marshaled_frames: Sequence[bytes]) -> None:
        if self._buffer is None:
            super()._output_marshaled_frames(marshaled_frames)
        else:
            self._buffer.extend(marshaled_frames)


def node_parameters(broker_url: str) -> list[pika.URLParameters]:
    """Return pika's parameters for each node of a cluster; `broker_url` separates the nodes' URLs by `;`."""
    return [pika.URLParameters(url) for url in broker_url.split(";")]
