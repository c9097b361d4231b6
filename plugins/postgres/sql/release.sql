UPDATE mainspring.run SET state = 4, stuck = false WHERE id = ANY ($1::uuid[])
