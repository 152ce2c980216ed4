"""Engines that compute for real, on torch and transformers; nothing outside this package imports either.

`settings`, `tasks` and `shapes` are plain data and cheap to import; `build` brings torch in.
"""
