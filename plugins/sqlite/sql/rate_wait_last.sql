SELECT max(until) FROM rate_wait INDEXED BY rate_wait_until
