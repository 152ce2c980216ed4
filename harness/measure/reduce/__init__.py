"""Computes figures from record files, offline."""
