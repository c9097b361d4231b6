SELECT json_group_array(seq) FROM (
    SELECT seq FROM json_each(:seqs) AS wanted CROSS JOIN run NOT INDEXED ON run.seq = wanted.value
    WHERE (:states IS NULL OR state IN (SELECT value FROM json_each(:states)))
        -- part run_filter
        AND run.id >= :first AND run.id < coalesce(:before, x'')
    ORDER BY run.id DESC LIMIT :limit
)
