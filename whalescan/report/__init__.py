"""What people look at: pictures of sound, figures, and the report. Facts go in and bytes come out; no file is read here."""
