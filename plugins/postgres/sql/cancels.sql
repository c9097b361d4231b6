SELECT id::text, token, cancel_reason FROM mainspring.run WHERE state = 5 AND kernel = $1 AND cancel_reason IS NOT NULL ORDER BY run.id
