"""Commands of the command line. What is heavy is imported inside the command, so that `--help` is quick."""
