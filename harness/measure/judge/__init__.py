"""Judgements on figures: service level objectives, verdict, diagnosis and headline. Pure."""
