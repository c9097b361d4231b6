SELECT ends, count FROM rate WHERE kind = ? AND name = ? AND key = ? AND ends > ? ORDER BY ends
