INSERT INTO mainspring.kernel (id, pid, host, boot, started, seen, socket, lease_until)
VALUES ($1, $2, $3, $4, $5, $6, $7, mainspring.clock() + $8::float8)
ON CONFLICT (id) DO UPDATE SET
    pid = excluded.pid, host = excluded.host, boot = excluded.boot, started = excluded.started, seen = excluded.seen,
    socket = excluded.socket, lease_until = excluded.lease_until
