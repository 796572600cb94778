"""HTTP requests of tests, with time for a busy machine's answer. httpx's own limit is five seconds."""

from functools import partial

import httpx

ANSWER_TIMEOUT_S = 30.0

get = partial(httpx.get, timeout=ANSWER_TIMEOUT_S)
post = partial(httpx.post, timeout=ANSWER_TIMEOUT_S)
delete = partial(httpx.delete, timeout=ANSWER_TIMEOUT_S)
