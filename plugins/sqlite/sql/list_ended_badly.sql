-- One state at a time: its newest are found without sorting all of them.
SELECT json_group_array(seq) FROM (
    SELECT seq FROM run INDEXED BY run_ended_badly
    WHERE state >= 7 AND state = :state
        -- part run_filter
        AND id >= :first AND id < coalesce(:before, x'')
    ORDER BY id DESC LIMIT :limit
)
