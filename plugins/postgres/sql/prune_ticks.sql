WITH old AS (
    SELECT schedule, first FROM mainspring.tick WHERE last < $1 ORDER BY last LIMIT $2
)
DELETE FROM mainspring.tick USING old WHERE tick.schedule = old.schedule AND tick.first = old.first
