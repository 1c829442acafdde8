"""The composition root: the command, the embedded services, logging."""
