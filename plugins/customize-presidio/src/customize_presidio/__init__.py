"""Personal data in answers, as Presidio finds it."""
