-- Keys of these jobs whose parked runs may go on, or seem to wait for longer than they can.
SELECT name, key, ends, counts FROM mainspring.rate
WHERE opens IS NOT NULL AND (opens <= $1 OR opens > $3) AND name || '' = ANY ($2::text[]) ORDER BY opens LIMIT 1000
