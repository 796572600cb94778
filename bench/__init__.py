"""Measurements of the ingest and the pipeline, beside other solutions and the limits of the machine (README.md)."""
