"""Faust: topics in, online models called, Redis and topics out. One file = one agent."""
