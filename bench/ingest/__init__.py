"""Our ingest beside a plain one, one without a broker, and the raw limits of the machine."""
