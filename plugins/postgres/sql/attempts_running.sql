-- Of these attempts (run, token) those that are running, locked: their numbers.
SELECT given.number::int FROM unnest($1::uuid[], $2::int[]) WITH ORDINALITY AS given (id, token, number)
JOIN mainspring.run ON run.id = given.id AND run.token = given.token AND run.state + 0 = 5
FOR NO KEY UPDATE OF run
