INSERT INTO mainspring.queue (name, paused_until) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET paused_until = excluded.paused_until
