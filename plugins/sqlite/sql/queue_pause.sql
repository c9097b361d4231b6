INSERT INTO queue (name, paused_until) VALUES (?, ?)
ON CONFLICT (name) DO UPDATE SET paused_until = excluded.paused_until
