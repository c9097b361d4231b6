UPDATE mainspring.run SET cancel_reason = $2 WHERE id = ANY ($1::uuid[])
