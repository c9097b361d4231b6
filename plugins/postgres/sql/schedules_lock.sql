-- Whoever ends runs of a schedule, or looks at it, does so alone. One that is gone is locked by a number made of its name.
WITH locked AS MATERIALIZED (
    SELECT name FROM mainspring.schedule WHERE name = ANY ($1::text[]) ORDER BY name FOR NO KEY UPDATE
)
SELECT pg_advisory_xact_lock(hashtext($2), number) FROM (
    SELECT DISTINCT hashtext(wanted.name) & 63 AS number FROM unnest($1::text[]) AS wanted (name)
    WHERE wanted.name NOT IN (SELECT name FROM locked)
    ORDER BY number
) AS gone
