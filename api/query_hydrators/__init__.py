"""Query hydrators: each adds to a request what it did not say. Listed in api/pipelines.py."""
