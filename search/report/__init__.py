"""The report: one self-contained HTML page, drawn from saved files alone."""
