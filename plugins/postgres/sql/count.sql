SELECT state, count(*) FROM mainspring.run
WHERE ($1::smallint[] IS NULL OR state = ANY ($1)) AND ($2::text IS NULL OR job = $2) AND ($3::text IS NULL OR queue = $3)
    AND ($4::text IS NULL OR schedule = $4) AND ($5::text IS NULL OR tags @> ARRAY[$5])
GROUP BY state
