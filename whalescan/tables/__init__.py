"""Tables for other programs: CSV summaries, Raven tables, further formats, and NOAA's databases."""
