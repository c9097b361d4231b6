SELECT name, version, state, opened, until, successes, probe, error FROM mainspring.breaker ORDER BY name
