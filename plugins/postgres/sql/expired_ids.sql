SELECT id::text, schedule FROM mainspring.run
WHERE expires IS NOT NULL AND attempt = 0 AND state <= 4 AND expires <= $1
ORDER BY expires LIMIT 10000
