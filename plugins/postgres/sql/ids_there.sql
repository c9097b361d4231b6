SELECT id::text FROM mainspring.run WHERE id = ANY ($1::uuid[])
