"""Chunks of sound to scores, on one machine or many: what is cut, who works, what a worker does, and who hands out."""
