"""Scorers: each turns what sources found into scores. Listed in api/pipelines.py."""
