DELETE FROM mainspring.edge WHERE child = ANY ($1::uuid[])
