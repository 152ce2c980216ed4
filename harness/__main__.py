"""`python -m harness` is the `paceline` command; so is the script that pip installs."""

from __future__ import annotations

import sys


def main() -> None:
    """Import the command and call it. Ctrl-C is one line, also while modules are still being imported."""
    try:
        from harness.cli.main import main as command
    except KeyboardInterrupt:
        sys.stderr.write("paceline: interrupted\n")
        sys.exit(5)
    command()


if __name__ == "__main__":
    main()
