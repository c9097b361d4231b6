UPDATE mainspring.run SET state = 8, reason = $2, finished = $3 WHERE id = ANY ($1::uuid[])
