DELETE FROM attempt WHERE run IN (SELECT run.id FROM json_each(?) AS gone CROSS JOIN run ON run.seq = gone.value)
