"""The judgement of a sweep: pure functions of the cases of its levels."""
