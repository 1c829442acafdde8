"""Periodic jobs: snapshot → train → evaluate → publish. One file = one model."""
