UPDATE mainspring.run_log SET text = given.text, is_cut = true
FROM unnest($1::uuid[], $2::text[]) AS given (run, text)
WHERE run_log.run = given.run
