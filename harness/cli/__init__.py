"""The command line: parses and calls. Nothing below it prints or exits."""
