"""Offline: from record files to figures."""
