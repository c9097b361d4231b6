-- Completed, and nothing else is different from what was claimed. For the statement finish, the same in short.
-- Lists come as texts, taken apart here: that costs less than to make arrays of them where they come from.
-- written: the numbers of those that were, NULL for all of the $5; parents: of those that have children.
WITH done AS (
    UPDATE mainspring.run SET
        state = 6, finished = given.finished, result = given.result, reason = NULL, notes = NULL, stuck = false, losses = 0
    FROM unnest($1::text::uuid[], $2::text::int[], $3::text::float8[], string_to_array($4::text, E'\n', ''))
        WITH ORDINALITY AS given (id, token, finished, result, number)
    WHERE run.id = given.id AND run.token = given.token AND run.state + 0 = 5
    RETURNING given.number::int AS number, run.has_children
)
SELECT
    CASE WHEN count(*) < $5::int THEN coalesce(array_agg(number), '{}') END AS written,
    array_agg(number) FILTER (WHERE has_children) AS parents
FROM done
