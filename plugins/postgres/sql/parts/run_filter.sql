    AND ($2::text IS NULL OR job = $2) AND ($3::text IS NULL OR queue = $3)
    AND ($4::text IS NULL OR schedule = $4) AND ($5::text IS NULL OR tags @> ARRAY[$5])
    AND ($6::float8 IS NULL OR enqueued >= $6) AND ($7::float8 IS NULL OR enqueued < $7)
    AND ($8::text IS NULL OR strpos(lower(reason COLLATE "C"), $8) > 0
        OR strpos(lower(mainspring.error_shown(error) COLLATE "C"), $8) > 0)
    AND ($9::uuid IS NULL OR run.id >= $9) AND ($10::uuid IS NULL OR run.id < $10)
