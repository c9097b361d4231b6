UPDATE run NOT INDEXED SET
    state = 4, due = :now, urgency = :now + priority * :aging, failures = 0, losses = 0, finished = NULL, reason = NULL,
    cancel_reason = NULL, expires = NULL
WHERE seq IN (SELECT value FROM json_each(:seqs)) AND state >= 7
