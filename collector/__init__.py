"""Collecting from the external content API: pages in, what is new or changed out into Kafka.

The API starts runs and `reelstream collect` does, so this lies below both. A run holds PostgreSQL's advisory lock of
its kind, on the connection through which it writes: there is one run a kind however many processes there are, and the
lock of a process that was killed is free at once.
"""
