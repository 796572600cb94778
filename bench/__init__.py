"""What the ingest and the pipeline can do, measured beside their peers and their limits; see README.md."""
