"""Engines of real models, on torch and transformers; only this package imports them.

`settings`, `tasks` and `shapes` are plain data and cheap to import; `build` imports torch.
"""
