UPDATE mainspring.run SET progress = given.progress, progress_text = given.text
FROM unnest($1::uuid[], $2::float8[], $3::text[]) AS given (id, progress, text)
WHERE run.id = given.id
