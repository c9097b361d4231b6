SELECT name, version, state, opened, until, successes, probe, error FROM breaker ORDER BY name
