        AND (:job IS NULL OR job = :job)
        AND (:queue IS NULL OR queue = :queue)
        AND (:schedule IS NULL OR schedule = :schedule)
        AND (:tag IS NULL OR instr(',' || substr(tags, 2), :tag))
        AND (:since IS NULL OR enqueued >= :since)
        AND (:until IS NULL OR enqueued < :until)
        AND (:error IS NULL OR instr(lower(reason), :error) OR instr(lower(
            CASE
                WHEN NOT json_valid(error) THEN 'unknown: ' || error
                WHEN json_type(error, '$.type') IS NOT NULL AND json_type(error, '$.message') IS NOT NULL
                    AND json_type(error, '$.traceback') IS NOT NULL
                    THEN json_extract(error, '$.type') || ': ' || json_extract(error, '$.message')
                ELSE 'unknown: ' || error
            END
        ), :error))
