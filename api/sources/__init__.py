"""Candidate sources: each finds posts worth a look. Listed in api/pipelines.py."""
