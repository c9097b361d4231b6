-- One at a time counts what limits over all kernels count, and sets free what they held back.
SELECT pg_advisory_xact_lock(hashtext($1), 0)
