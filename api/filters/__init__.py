"""Filters: each drops posts for one reason. Listed in api/pipelines.py."""
