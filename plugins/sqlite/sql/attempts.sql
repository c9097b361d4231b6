SELECT attempt, started, ended, outcome, error, reason, kernel FROM attempt WHERE run = ? ORDER BY attempt
