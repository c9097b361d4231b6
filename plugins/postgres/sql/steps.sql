SELECT name, result FROM mainspring.step WHERE run = ANY ($1::uuid[]) ORDER BY name
