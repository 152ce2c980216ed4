"""Record files: written while a load runs, and read back afterwards."""
