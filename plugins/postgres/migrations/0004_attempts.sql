-- Attempts that ended otherwise than completed; of one that completed the run's own row tells.
CREATE TABLE mainspring.attempt (
    run uuid NOT NULL,
    attempt integer NOT NULL,
    started double precision,
    ended double precision NOT NULL,
    outcome text NOT NULL,
    kernel text,
    reason text,
    error text,
    PRIMARY KEY (run, attempt)
);
