SELECT job, key, until FROM rate_wait INDEXED BY rate_wait_until WHERE until > ?
