-- For claim and claim_many: what there is to be claimed, without further care, of the lanes that have room.
-- is_ready is false when something has become due or expired, when a suspect or a limited lane wants care: nothing is claimed.
-- Nor is it when the statement comes late: whoever sent it may have given it up, and would never know of what it claims.
--
-- Of each lane as many are locked as may be needed of it. Of all that come in order of urgency those are taken that stand
-- before the first one for which its job, or its queue, has no room, and before the end of a lane of which not all was read;
-- of a single lane all that were locked. Names that an index could be looked for by, and shall not, are written with || ''.
WITH RECURSIVE
facts AS MATERIALIZED (
    SELECT
        least($2::float8, mainspring.clock() + 1) AS now,
        least(
            (SELECT min(due) FROM mainspring.run WHERE state = 1),
            (SELECT min(due) FROM mainspring.run WHERE state = 2),
            (
                SELECT opens FROM mainspring.rate
                WHERE opens IS NOT NULL AND name || '' = ANY ($4::text[]) AND EXISTS (
                    SELECT 1 FROM mainspring.run
                    WHERE run.state = 0 AND run.rate_key IS NOT NULL AND run.job = rate.name AND run.rate_key = rate.key
                )
                ORDER BY opens LIMIT 1
            )
        ) AS next_due,
        (
            SELECT max(opens) FROM mainspring.rate WHERE opens IS NOT NULL AND name || '' = ANY ($4::text[])
        ) AS last_opens,
        (SELECT min(expires) FROM mainspring.run WHERE expires IS NOT NULL AND attempt = 0 AND state <= 4) AS next_expiry,
        $11::int > 0 AND EXISTS (SELECT 1 FROM mainspring.run WHERE state = 4 AND losses >= 2) AS has_suspects
),
lane (queue, job) AS (
    (
        SELECT queue, job FROM mainspring.run WHERE state = 4 AND losses < 2 ORDER BY queue, job LIMIT 1
    )
    UNION ALL
    SELECT next_lane.queue, next_lane.job FROM lane CROSS JOIN LATERAL (
        SELECT run.queue, run.job FROM mainspring.run
        WHERE run.state = 4 AND run.losses < 2 AND (run.queue, run.job) > (lane.queue, lane.job)
        ORDER BY run.queue, run.job LIMIT 1
    ) AS next_lane
),
open_lane AS MATERIALIZED (
    SELECT
        lane.queue, lane.job, coalesce(jobs.room, 0) AS job_room, coalesce(queues.room, $3::int) AS queue_room,
        least($3::int, jobs.room, queues.room) AS room, count(*) OVER () AS lanes
    FROM lane
    JOIN unnest($4::text[], $5::int[]) AS jobs (job, room) ON jobs.job = lane.job
    LEFT JOIN unnest($6::text[], $7::int[]) AS queues (queue, room) ON queues.queue = lane.queue
    WHERE least($3::int, jobs.room, queues.room) > 0
),
ready AS MATERIALIZED (
    SELECT
        $12::boolean OR mainspring.clock() < $2::float8 + $14::float8
        AND (next_due IS NULL OR next_due > now) AND (next_expiry IS NULL OR next_expiry > now) AND NOT has_suspects
        AND (last_opens IS NULL OR last_opens <= now + $13::float8)
        AND NOT EXISTS (SELECT 1 FROM open_lane WHERE job = ANY ($9::text[]) OR queue = ANY ($10::text[])) AS is_ready
    FROM facts
),
head AS MATERIALIZED (
    SELECT
        taken.id, taken.urgency, open_lane.queue, open_lane.job, open_lane.job_room, open_lane.queue_room,
        open_lane.room, depth.depth, open_lane.lanes
    FROM open_lane
    CROSS JOIN LATERAL (
        SELECT CASE WHEN lanes = 1 THEN room ELSE least(room, greatest(8, 2 * $3::int / lanes)) END::int AS depth
    ) AS depth
    CROSS JOIN LATERAL (
        SELECT run.id, run.urgency FROM mainspring.run
        WHERE run.state = 4 AND run.losses < 2 AND run.queue = open_lane.queue AND run.job = open_lane.job AND run.urgency < $8
        ORDER BY run.urgency, run.id LIMIT depth.depth
        FOR NO KEY UPDATE SKIP LOCKED
    ) AS taken
    WHERE (SELECT is_ready FROM ready)
),
ranked AS MATERIALIZED (
    SELECT
        id, queue, job, room, depth, row_number() OVER (ORDER BY urgency, id) AS place,
        row_number() OVER (PARTITION BY job ORDER BY urgency, id) > job_room
        OR row_number() OVER (PARTITION BY queue ORDER BY urgency, id) > queue_room AS is_over
    FROM head WHERE lanes > 1
),
cut AS MATERIALIZED (
    SELECT least(
        (SELECT min(place) FROM ranked WHERE is_over),
        (SELECT min(last_place) + 1 FROM (
            SELECT max(place) AS last_place FROM ranked GROUP BY queue, job, room, depth
            HAVING count(*) = depth AND depth < room
        ) AS unread)
    ) AS place
),
chosen (ids) AS MATERIALIZED (
    SELECT ARRAY(
        SELECT id FROM head WHERE lanes = 1
        UNION ALL
        SELECT id FROM ranked WHERE place <= $3::int AND place < coalesce((SELECT place FROM cut), 2147483647)
    )
)
