-- Those whose lease has not run out.
SELECT id, pid, host, boot, started, seen, socket FROM mainspring.kernel WHERE lease_until > mainspring.clock() ORDER BY started, id
