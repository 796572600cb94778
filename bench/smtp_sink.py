"""An SMTP server that accepts and counts every e-mail and keeps none: `python -m bench.smtp_sink PORT`.

The demo's mailbox parses and keeps each e-mail, which would be part of the measurement.
"""

import asyncio
import sys

ANSWERS = {b"EHLO": b"250 sink\r\n", b"HELO": b"250 sink\r\n", b"DATA": b"354 go on\r\n", b"QUIT": b"221 bye\r\n"}
COUNT_COMMAND = b"VRFY"  # its answer is the number of accepted e-mails


class Sink(asyncio.Protocol):
    """One connection. `accepted` counts the e-mails of all connections."""

    accepted = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet the client."""
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._buffer, self._in_mail = transport, b"", False
        transport.write(b"220 sink\r\n")

    def data_received(self, data: bytes) -> None:
        """Answer the commands and e-mails that are complete."""
        self._buffer += data
        while (end := self._buffer.find(b"\r\n.\r\n" if self._in_mail else b"\r\n")) >= 0:
            if self._in_mail:
                self._buffer, self._in_mail = self._buffer[end + 5 :], False
                Sink.accepted += 1
                self._transport.write(b"250 accepted\r\n")
            else:
                command, self._buffer = self._buffer[:4].upper(), self._buffer[end + 2 :]
                self._answer(command)

    def _answer(self, command: bytes) -> None:
        self._in_mail = command == b"DATA"
        counted = b"252 %d\r\n" % Sink.accepted if command == COUNT_COMMAND else None
        self._transport.write(counted or ANSWERS.get(command, b"250 ok\r\n"))
        if command == b"QUIT":
            self._transport.close()


async def main(port: int) -> None:
    """Serve on this port until the process is stopped."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Sink, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
