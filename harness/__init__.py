"""Part of paceline: the client, loads, measurement, experiments and the command."""
