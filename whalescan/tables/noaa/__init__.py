"""What NOAA's databases read: PARS and Makara, checked by their rules before anything is written."""
