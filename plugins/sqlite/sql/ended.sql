-- [[id, job, queue, state, schedule, unique_key, concurrency_key, rate_key], …] in the order of the seqs given.
SELECT json_group_array(json_array(
    run.id, job, queue, state, schedule, unique_key, concurrency_key, rate_key
))
FROM json_each(?) AS wanted CROSS JOIN run ON run.seq = wanted.value
