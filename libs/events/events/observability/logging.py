"""JSON logs with request and trace ids. Log calls must pass ids, amounts and types, but no personal data."""

import logging
import logging.config
import sys
from typing import Any

import structlog
import structlog.tracebacks

from events.observability import tracing


def get_logger(name: str) -> Any:
    """Return a structlog logger; keyword arguments become fields of the log line."""
    return structlog.stdlib.get_logger(name)


def configure_logging(service: str, level: str = "INFO") -> None:
    """Send the logs of this process and its libraries to standard error, one JSON object per line."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        lambda _logger, _name, fields: {"service": service, **_trace(), **fields},
    ]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.ExceptionRenderer(
                    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)  # locals hold personal data
                ),
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    for verbose in ("amqp", "kombu", "httpx", "httpcore", "stripe"):
        logging.getLogger(verbose).setLevel(logging.WARNING)
    # pika logs five errors for each attempt to reach a broker that is away; the publisher logs one line.
    logging.getLogger("pika").setLevel(logging.CRITICAL)


def _trace() -> dict[str, str]:
    trace_id = tracing.trace_id()
    return {"trace_id": trace_id} if trace_id else {}
