"""A stand-in for the external content API: generated rows in its shapes, and its faults on request."""
