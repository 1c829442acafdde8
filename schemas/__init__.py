"""The contract: what processes say to each other through Kafka, Redis, PostgreSQL and HTTP."""
