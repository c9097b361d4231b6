-- Every kernel that has signed in and not out: whether its lease still holds, and how many runs it has claimed.
SELECT
    id, pid, host, boot, started, seen, socket, lease_until > mainspring.clock(),
    (SELECT count(*) FROM mainspring.run WHERE run.state = 5 AND run.kernel = kernel.id)
FROM mainspring.kernel ORDER BY started, id
