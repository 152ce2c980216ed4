"""`python -m harness` is the `paceline` command."""

from harness.cli.main import main

main()
