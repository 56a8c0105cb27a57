"""``python -m whalescan`` is the same as ``whalescan``."""

from whalescan.cli import main

if __name__ == "__main__":
    main(prog_name="whalescan")
