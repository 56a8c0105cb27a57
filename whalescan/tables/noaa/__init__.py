"""Tables for NOAA's databases PARS and Makara, validated by their rules before anything is written."""
