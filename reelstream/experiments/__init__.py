"""What an experiment shows: reports over what was served and what followed."""
