"""The ingest beside a plain one, one without a broker, and the limits of the machine."""
