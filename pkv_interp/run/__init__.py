"""What every run is made of: settings, session, stages, scoring, report, record.

Measuring reaches this package, so nothing is imported here: what a summary needs must not be among the code
that the measurement key is over.
"""
