"""Selectors: each orders scored candidates into a page. Listed in api/pipelines.py."""
