SELECT text, is_cut FROM mainspring.run_log WHERE run = ANY ($1::uuid[])
