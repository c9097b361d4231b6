SELECT job, key FROM rate_wait INDEXED BY rate_wait_until WHERE until <= ?
