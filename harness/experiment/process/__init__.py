"""Bulk processing: a file of items through a server into a file of answers, resumable after a kill at any moment."""

from harness.experiment.process.run import Process, process
from harness.experiment.process.settings import Settings
from harness.experiment.process.summary import Summary

__all__ = ["Process", "Settings", "Summary", "process"]
