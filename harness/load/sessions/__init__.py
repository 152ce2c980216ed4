"""Sessions: conversations of several turns. A turn becomes due when the answer before it has come, plus think time."""
