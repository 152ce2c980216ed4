"""Bulk processing: a file of items through a server into a file of answers, resumable after a kill at any moment."""

from harness.experiment.process.run import Process, Summary, process
from harness.experiment.process.settings import Settings

__all__ = ["Process", "Settings", "Summary", "process"]
