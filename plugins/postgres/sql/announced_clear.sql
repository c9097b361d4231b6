-- Of this kernel all but these jobs, and of those that are not alive everything.
DELETE FROM mainspring.announced WHERE CASE
    WHEN kernel = $1 THEN job <> ALL ($2::text[])
    ELSE NOT EXISTS (
        SELECT 1 FROM mainspring.kernel AS other WHERE other.id = announced.kernel AND other.lease_until > mainspring.clock()
    )
END
