"""Bulk processing: a file of items through a server into a file of answers, resumable after a kill at any moment."""

from harness.bulk.ending import Summary
from harness.bulk.processing import Process, process
from harness.bulk.settings import ProcessSettings

__all__ = ["Process", "ProcessSettings", "Summary", "process"]
