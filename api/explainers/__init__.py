"""Explainers: each says one thing about why a post is where it is. Only under `explain`. Listed in api/pipelines.py."""
