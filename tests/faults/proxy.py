"""A TCP proxy between the services and a server of theirs.

A test can cut its connections, silence them, or let it hide the end of a connection from the other side.
"""

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

CHUNK_SIZE = 1 << 16  # bytes per read
CALL_TIMEOUT_S = 10


class Proxy:
    """Listens on `port` of the loopback address and forwards to the target. Any thread may call public methods."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._loop = asyncio.new_event_loop()
        self._pipes: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self.port = 0
        self._call(self._listen())

    def cut(self) -> None:
        """Reset every connection and refuse new ones, until `restore`."""
        self._call(self._cut())

    def silence(self) -> None:
        """Forward nothing until `restore`, as with a pulled cable: connections stay open and can be opened."""
        self._loop.call_soon_threadsafe(self._is_forwarding.clear)

    def swallow_ends(self) -> None:
        """Pass on no end of a connection until `restore`: each closing side looks as if its host was lost."""
        self._loop.call_soon_threadsafe(self._passes_ends.clear)

    def restore(self) -> None:
        """Forward and accept connections again. Silenced connections continue with the bytes that they kept."""
        self._call(self._listen())

    def close(self) -> None:
        """Reset every connection and end the proxy's thread."""
        self._call(self._cut())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(CALL_TIMEOUT_S)

    async def _listen(self) -> None:
        if self.port == 0:
            self._is_forwarding, self._passes_ends = asyncio.Event(), asyncio.Event()
            self._server: asyncio.Server | None = None
        self._is_forwarding.set()
        self._passes_ends.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._connect, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def _cut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._writers):
            writer.transport.abort()
        for pipe in list(self._pipes):
            pipe.cancel()
        await asyncio.gather(*self._pipes, return_exceptions=True)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._is_forwarding.wait()
        try:
            target_reader, target_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        for source, sink in ((reader, target_writer), (target_reader, writer)):
            pipe = asyncio.create_task(self._forward(source, sink))
            self._pipes.add(pipe)
            pipe.add_done_callback(self._pipes.discard)

    async def _forward(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        self._writers.add(sink)
        try:
            with suppress(OSError):
                while chunk := await source.read(CHUNK_SIZE):
                    await self._is_forwarding.wait()
                    sink.write(chunk)
                    await sink.drain()
            await self._is_forwarding.wait()
            await self._passes_ends.wait()
        finally:
            self._writers.discard(sink)
            sink.transport.abort() if sink.transport.is_closing() else sink.close()
