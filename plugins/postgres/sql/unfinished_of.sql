-- (schedule, id, state) of the unfinished runs of these schedules, in the order of their ids.
SELECT run.schedule, run.id::text, run.state FROM unnest($1::text[]) AS wanted (name)
JOIN mainspring.run ON run.schedule = wanted.name AND run.schedule IS NOT NULL AND run.state <= 5
ORDER BY run.id
