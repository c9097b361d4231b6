UPDATE mainspring.run SET stuck = true WHERE id = ANY ($1::uuid[]) AND state + 0 = 5
