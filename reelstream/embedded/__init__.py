"""The embedded profile: broker, Valkey and PostgreSQL from wheels, run as children of `reelstream up`."""
