"""The sizes of log lines, from which tests compute how long the containers' logs reach back."""

DOCKERS_BYTES_PER_LINE = 120  # the driver json-file adds the time and the stream, and escapes the quotes of JSON
OF_ADDRESSES_IN_CONTAINERS = 20  # networks of containers have longer addresses than 127.0.0.1
PROXY_LINE_BYTES = 450
