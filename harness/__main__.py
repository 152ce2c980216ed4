"""`python -m harness` is the `paceline` command; the script that pip installs comes here by way of `paceline.py`."""

import os
import sys

if sys.path[0] == os.getcwd() != os.path.dirname(os.path.dirname(os.path.abspath(__file__))):
    # `python -m` puts the working directory first: its files would be imported in place of the standard library's.
    del sys.path[0]


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
