DELETE FROM mainspring.unique_period WHERE run = ANY ($1::uuid[])
