-- Locked, so that one rescuer takes each.
SELECT id, pid, host, boot, started, seen, socket FROM mainspring.kernel
WHERE id <> $1 AND lease_until <= mainspring.clock() ORDER BY id FOR UPDATE SKIP LOCKED
