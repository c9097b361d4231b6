-- For each (number, seq, id, instant): [number, the other run that has its unique key], where there is one.
SELECT json_group_array(json_array(number, holder)) FROM (
    SELECT wanted.column1 AS number, coalesce(
        (
            SELECT id FROM run INDEXED BY run_unique
            WHERE job = own.job AND unique_key = own.unique_key AND unique_key IS NOT NULL AND state <= 5
        ),
        (
            SELECT run FROM period
            WHERE job = own.job AND key = own.unique_key AND until > wanted.column4 AND run <> wanted.column3
        )
    ) AS holder
    FROM (VALUES
        (?, ?, ?, ?)-- each
    ) AS wanted CROSS JOIN run AS own ON own.seq = wanted.column2
) WHERE holder IS NOT NULL
