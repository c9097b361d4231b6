SELECT json_group_array(seq) FROM (
    SELECT seq FROM run INDEXED BY sqlite_autoindex_run_1
    WHERE (:states IS NULL OR state IN (SELECT value FROM json_each(:states)))
        -- part run_filter
        AND id >= :first AND id < coalesce(:before, x'')
    ORDER BY id DESC LIMIT :limit
)
