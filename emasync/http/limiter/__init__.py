"""The adaptive concurrency limiter: how many requests may be in flight, and the backoff while the EM is busy."""
