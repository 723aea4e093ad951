"""Logs of training runs: one reader per format, one table of records, one metric of a run.

`lcpfn.logs.run.read_run` reads one metric of a run from a log of any format.
"""
