"""A profile of the mock that is fitted to a real server, with its error measured.

Rules of this package
  1. A calibration is played by the same engine as any run, for real or in virtual time. Its records are kept.
  2. Parameters are estimated from the records of all loads together (`inversion`, `generation`, `refusals`); candidates
     of another structure are simulated and compared (`search`).
  3. What the records do not determine is said (`Estimate.note`), and never guessed in silence.
"""
