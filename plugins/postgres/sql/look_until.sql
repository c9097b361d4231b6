UPDATE mainspring.schedule SET looked_until = given.until
FROM unnest($1::text[], $2::float8[]) AS given (name, until)
WHERE schedule.name = given.name
