SELECT child, parent, is_open, on_failure FROM edge
WHERE child IN (SELECT value FROM json_each(:runs)) OR parent IN (SELECT value FROM json_each(:runs))
ORDER BY child, parent
