-- Every run in the order of the file: of few that are found among many this costs a third of going through them by id.
SELECT json_group_array(seq) FROM (
    SELECT seq FROM run NOT INDEXED
    WHERE (:states IS NULL OR state IN (SELECT value FROM json_each(:states)))
        -- part run_filter
        AND +id >= :first AND +id < coalesce(:before, x'')
    ORDER BY +id DESC LIMIT :limit
)
