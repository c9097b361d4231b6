UPDATE mainspring.run SET state = 0 WHERE id = ANY ($1::uuid[])
