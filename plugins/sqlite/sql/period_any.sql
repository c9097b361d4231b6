SELECT EXISTS (SELECT 1 FROM period INDEXED BY period_until WHERE until > ?)
