"""Online: what is written while a load runs, and how it is read back."""
