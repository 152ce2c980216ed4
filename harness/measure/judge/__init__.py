"""From figures to judgements: objectives, verdict, diagnosis, headline. Pure."""
