"""Side effects: what happens after the answer. Listed in api/pipelines.py."""
