DELETE FROM period INDEXED BY period_until WHERE until <= ?
