"""Report of a survey as one HTML page, with its figures, contact sheets and tables. It is made of data; no file is read."""
