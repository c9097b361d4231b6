SELECT attempt, started, ended, outcome, error, reason, kernel FROM mainspring.attempt
WHERE run = ANY ($1::uuid[]) ORDER BY attempt
